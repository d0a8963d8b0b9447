//! `steward:hold` and `steward:hold-until`: a person's word that a resource
//! stays as it is.

use jiff::Timestamp;

/// Freezes a resource, whatever its value.
pub const HOLD: &str = "steward:hold";

/// Freezes a resource until an RFC 3339 instant.
pub const HOLD_UNTIL: &str = "steward:hold-until";

/// Why a resource is frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// By [`HOLD`].
    Tag,
    /// By [`HOLD_UNTIL`].
    Until(Timestamp),
    /// By [`HOLD_UNTIL`] with a value that is no RFC 3339 instant: kept, and
    /// reported, because the person who wrote it meant something.
    UntilUnreadable(String),
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag => write!(f, "tag {HOLD}"),
            Self::Until(until) => write!(f, "tag {HOLD_UNTIL}={until}"),
            Self::UntilUnreadable(value) => {
                write!(f, "tag {HOLD_UNTIL}={value}, which is no RFC 3339 time")
            }
        }
    }
}

/// The hold in force at `now`, read from a resource's tags.
pub fn hold_of<'a>(
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    now: Timestamp,
) -> Option<Hold> {
    let mut until = None;
    for (key, value) in tags {
        match key {
            HOLD => return Some(Hold::Tag),
            HOLD_UNTIL => match value.trim().parse::<Timestamp>() {
                Ok(at) if at > now => until = Some(Hold::Until(at)),
                Ok(_) => {}
                Err(_) => until = Some(Hold::UntilUnreadable(value.to_owned())),
            },
            _ => {}
        }
    }
    until
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_by_any_value_until_its_time_and_when_unreadable() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let hold = |tags: &[(&'static str, &'static str)]| hold_of(tags.iter().copied(), now);
        assert_eq!(hold(&[("team", "web")]), None);
        assert_eq!(hold(&[(HOLD, "")]), Some(Hold::Tag));
        assert_eq!(hold(&[(HOLD, "false")]), Some(Hold::Tag));
        assert_eq!(hold(&[(HOLD_UNTIL, "2026-11-22T12:00:00Z")]), None);
        assert!(matches!(
            hold(&[(HOLD_UNTIL, "2026-11-22T12:00:01Z")]),
            Some(Hold::Until(_))
        ));
        assert!(matches!(
            hold(&[(HOLD_UNTIL, "2026-11-22T13:30:00+01:00")]),
            Some(Hold::Until(_))
        ));
        assert!(matches!(
            hold(&[(HOLD_UNTIL, "tomorrow")]),
            Some(Hold::UntilUnreadable(_))
        ));
        assert_eq!(
            hold(&[(HOLD_UNTIL, "2020-01-01T00:00:00Z"), (HOLD, "x")]),
            Some(Hold::Tag)
        );
    }
}
