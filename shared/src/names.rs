//! What Steward's tags and snapshots are called, and which snapshots are its own.
//!
//! AWS copies tags from databases to snapshots and from snapshots to restored
//! databases, so that a tag alone proves nothing, and neither does a name that
//! somebody else can give. Owned is what has all of it: the tag, the name, and
//! the database that it was made for.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Names Steward's function that made a thing.
pub const MANAGED_BY: &str = "steward:managed-by";

/// Names what a thing was made for; of a snapshot the resource id of its
/// database, which is never used again (`DbiResourceId`, Amazon RDS API
/// Reference, `DBInstance`).
pub const MADE_FOR: &str = "steward:made-for";

/// When the data of a snapshot was taken, RFC 3339.
pub const TAKEN_AT: &str = "steward:taken-at";

/// The environment that a resource belongs to.
pub const ENVIRONMENT: &str = "steward:environment";

/// Marks what was parked on purpose; the value is when, RFC 3339, and of services and
/// groups after it the sizes that they had.
pub const PARKED: &str = "steward:parked";

/// The function that owns every snapshot of Steward's, whichever asked for it: it
/// thins them, and writes down what a restore needs.
pub const SNAPSHOT_ROTATION: &str = "snapshot-rotation";

/// What Steward's own tags begin with.
pub const OWN_TAGS: &str = "steward:";

/// How many characters at the end of a resource id stand in a name: enough to
/// tell databases apart that had the same name one after the other.
const OF_RESOURCE_ID: usize = 6;

const PREFIX: &str = "steward-";
const SLOT: &str = "%Y%m%d-%H%M";

/// The name of the snapshot of a database for the time at which it is due, to
/// the minute. `attempt` counts from 1.
///
/// Names of databases have at most 63 characters, no two hyphens in a row and
/// none at the end (Amazon RDS API Reference, `CreateDBInstance`), so that this
/// is a name that `CreateDBSnapshot` takes.
pub fn snapshot_id(database: &str, resource_id: &str, due: Timestamp, attempt: usize) -> String {
    let slot = due.to_zoned(TimeZone::UTC).strftime(SLOT);
    let of = end_of(resource_id);
    match attempt {
        0 | 1 => format!("{PREFIX}{database}-{of}-{slot}"),
        n => format!("{PREFIX}{database}-{of}-{slot}-{n}"),
    }
}

/// The last characters of a resource id, as names have them.
fn end_of(resource_id: &str) -> String {
    let plain = resource_id.chars().filter(char::is_ascii_alphanumeric);
    let lower: Vec<char> = plain.map(|c| c.to_ascii_lowercase()).collect();
    let from = lower.len().saturating_sub(OF_RESOURCE_ID);
    lower[from..].iter().collect()
}

/// What a name tells that has the form of [`snapshot_id`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// The database's name when it was made.
    pub database: &'a str,
    /// When it was due.
    pub due: Timestamp,
    /// Which attempt it is, from 1.
    pub attempt: usize,
    /// The end of its resource id.
    end: &'a str,
}

impl Named<'_> {
    /// Whether it can be the name of a snapshot of this database.
    pub fn is_of(&self, resource_id: &str) -> bool {
        let plain = resource_id
            .chars()
            .rev()
            .filter(char::is_ascii_alphanumeric);
        let lower = plain.map(|c| c.to_ascii_lowercase());
        self.end.chars().rev().eq(lower.take(OF_RESOURCE_ID))
    }
}

/// Reads a name; `None` when it is not of that form.
pub fn parse(id: &str) -> Option<Named<'_>> {
    let rest = id.strip_prefix(PREFIX)?;
    let is_attempt =
        |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let (rest, attempt) = match rest.rsplit_once('-') {
        Some((before, attempt)) if is_attempt(attempt) => (before, attempt.parse().ok()?),
        _ => (rest, 1),
    };
    let (rest, time) = rest.rsplit_once('-')?;
    let (rest, day) = rest.rsplit_once('-')?;
    let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if day.len() != 8 || time.len() != 4 || !are_digits(day) || !are_digits(time) {
        return None;
    }
    // By hand: every run reads every name.
    let digits = |text: &str, from, to| text.get(from..to)?.parse::<i8>().ok();
    let due = DateTime::new(
        day.get(..4)?.parse().ok()?,
        digits(day, 4, 6)?,
        digits(day, 6, 8)?,
        digits(time, 0, 2)?,
        digits(time, 2, 4)?,
        0,
        0,
    );
    let due = due.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let (database, end) = rest.rsplit_once('-')?;
    (!database.is_empty() && !end.is_empty()).then_some(Named {
        database,
        due,
        attempt,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_read_again_and_nothing_else_can() {
        let due: Timestamp = "2026-11-23T03:02:59Z".parse().unwrap();
        let resource_id = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let first = snapshot_id("shop-db", resource_id, due, 1);
        assert_eq!(first, "steward-shop-db-uvwxyz-20261123-0302");
        let third = snapshot_id("shop-db", resource_id, due, 3);
        assert_eq!(third, "steward-shop-db-uvwxyz-20261123-0302-3");
        for (id, attempt) in [(&first, 1), (&third, 3)] {
            let named = parse(id).unwrap();
            assert_eq!(named.attempt, attempt);
            assert_eq!(named.database, "shop-db");
            assert_eq!(named.due.to_string(), "2026-11-23T03:02:00Z");
            assert!(named.is_of(resource_id));
            assert!(!named.is_of("db-ABCDEFGHIJKLMNOPQRSTUVWXYY"));
            assert!(!named.is_of("db-VWXYZ"));
            assert!(!named.is_of(""));
        }
        // A database may be called like the end of a snapshot.
        let odd = snapshot_id("a-20261123-0302", resource_id, due, 1);
        assert_eq!(parse(&odd).unwrap().database, "a-20261123-0302");
        for other in [
            "shop-final",
            "steward-shop-db",
            "steward-shop-db-uvwxyz-20261323-0302",
            "steward-shop-db-uvwxyz-20261123-2460",
            "steward-shop-db-uvwxyz-+2026112-0302",
            "steward-shop-db-uvwxyz-20261123-+302",
            "steward-shop-db-uvwxyz-2026112ä-0302",
            "steward-shop-db-uvwxyz-20261123",
            "steward-uvwxyz-20261123-0302",
            "rds:shop-db-2026-11-23-03-02",
            "steward--uvwxyz-20261123-0302",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
