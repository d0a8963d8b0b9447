//! Numbers, sizes, ages and names as a person reads them.

use jiff::Timestamp;
use serde_json::Value;
use steward::report::{ActionLine, ActionOutcome};

/// How much of a digest is shown; `--json` has all of it.
const DIGEST_CHARS: usize = 12;

/// What precedes a digest.
const DIGEST: &str = "sha256:";

/// Text without control characters, which could do anything to a terminal, and
/// without line breaks.
pub(crate) fn plain(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !is_formatting(*c))
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters that turn the direction of the text around them.
fn is_formatting(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with every digest cut to `to` characters.
fn cut_digests(text: &str, to: usize) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(DIGEST) {
        let (before, from) = rest.split_at(at + DIGEST.len());
        short.push_str(before);
        let hex = from
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(from.len());
        let (digest, after) = from.split_at(hex);
        short.push_str(digest.get(..to).unwrap_or(digest));
        if to == 0 {
            short.push('…');
        }
        rest = after;
    }
    short.push_str(rest);
    short
}

/// A text whose digests are short, as other tools show them.
pub(crate) fn short(text: &str) -> String {
    cut_digests(&plain(text), DIGEST_CHARS)
}

/// A text without its digests: texts that differ in nothing else are one.
pub(crate) fn without_digests(text: &str) -> String {
    cut_digests(&plain(text), 0)
}

/// `1 image`, `2 images`, `1 repository`, `2 repositories`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!(
        "{} {}",
        number(n),
        if n == 1 {
            noun.to_owned()
        } else {
            plural(noun)
        }
    )
}

/// More than one of them.
pub(crate) fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !noun.ends_with("ay") && !noun.ends_with("ey") => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

/// Thousands apart.
pub(crate) fn number(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in binary units.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    // In tenths of the unit, rounded, and on to the next unit at 1,000.
    let mut tenths = u128::from(n) * 10;
    let mut unit = 0;
    loop {
        tenths = (tenths + 512) / 1024;
        if tenths < 10_000 || unit + 1 == UNITS.len() {
            break;
        }
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if tenths < 1000 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", (tenths + 5) / 10)
    }
}

/// How long before `now` something was, in one unit as policies write it.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let minutes = now.duration_since(then).as_mins().max(0);
    match minutes {
        0..60 => format!("{minutes}m"),
        60..2880 => format!("{}h", minutes / 60),
        _ => format!("{}d", minutes / (24 * 60)),
    }
}

/// A time span of a run.
pub(crate) fn took(start: Timestamp, end: Timestamp) -> String {
    let span = end.duration_since(start);
    let seconds = span.as_secs().max(0);
    match span.as_millis().max(0) {
        millis @ 0..1000 => format!("{millis} ms"),
        millis @ 1000..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// The kinds of actions that are not a verb and what it is done to: `would` what to
/// `1` what, and of that it was what.
const ODD: &[(&str, &str, &str, &str)] = &[
    (
        "pass_over_transition",
        "pass over",
        "passed over",
        "transition",
    ),
    (
        "record_raise_gone",
        "record the end of",
        "recorded as over",
        "raise",
    ),
    ("roll_back", "roll back", "rolled back", "service"),
    (
        "replace_tasks",
        "give other tasks to",
        "given other tasks",
        "service",
    ),
    (
        "grow_storage",
        "give more storage to",
        "given more storage",
        "database",
    ),
    (
        "change_class",
        "give another class to",
        "given another class",
        "database",
    ),
    ("take_back", "take back", "taken back", "raise"),
];

/// How the actions of a report are spoken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verbs {
    /// `would delete`.
    pub(crate) would: String,
    /// `deleted`.
    pub(crate) did: String,
    /// `image`.
    pub(crate) noun: String,
}

impl Verbs {
    /// The words for actions that are all of one kind, such as `delete_image`;
    /// else words that fit any.
    pub(crate) fn of(actions: &[ActionLine]) -> Self {
        let mut kinds: Vec<&str> = actions
            .iter()
            .map(|line| line.kind.as_str())
            .filter(|kind| *kind != "none")
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let one = match kinds.as_slice() {
            [kind] => kind.split_once('_'),
            _ => None,
        };
        let odd = match kinds.as_slice() {
            [kind] => ODD.iter().find(|(odd, ..)| odd == kind),
            _ => None,
        };
        let owned = str::to_owned;
        let (verb, did, noun) = match one {
            _ if let Some((_, verb, did, noun)) = odd => (owned(verb), owned(did), owned(noun)),
            Some((verb, noun)) => (verb.to_owned(), past(verb), plain(noun).replace('_', " ")),
            None => ("make".to_owned(), "made".to_owned(), "change".to_owned()),
        };
        Self {
            would: format!("would {}", plain(&verb)),
            did: plain(&did),
            noun,
        }
    }

    /// The heading of a column that counts this outcome.
    pub(crate) fn heading(&self, outcome: ActionOutcome) -> &str {
        match outcome {
            ActionOutcome::Planned => &self.would,
            ActionOutcome::Done => &self.did,
            ActionOutcome::AlreadyDone => "so already",
            ActionOutcome::Skipped => "skipped",
            ActionOutcome::Failed => "failed",
            ActionOutcome::Deferred => "left for later",
        }
    }
}

fn past(verb: &str) -> String {
    match verb {
        "stop" => "stopped".to_owned(),
        "tag" => "tagged".to_owned(),
        "write" => "written".to_owned(),
        "set" => "set".to_owned(),
        "begin" => "begun".to_owned(),
        "wake" => "woken".to_owned(),
        "snapshot" => "snapshotted".to_owned(),
        "run" => "run".to_owned(),
        "tell" => "told".to_owned(),
        _ => match (verb.strip_suffix('e'), verb.strip_suffix('y')) {
            (Some(stem), _) => format!("{stem}ed"),
            (_, Some(stem)) => format!("{stem}ied"),
            _ => format!("{verb}ed"),
        },
    }
}

/// The unit that an action belongs to: its repository, else what its resource
/// names before a digest, else the resource itself.
pub(crate) fn unit_of(line: &ActionLine) -> &str {
    if let Some(repository) = line.detail.get("repository").and_then(Value::as_str) {
        return repository;
    }
    match line.resource.split_once('@') {
        Some((repository, digest)) if digest.starts_with(DIGEST) => repository,
        _ => &line.resource,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sizes_are_rounded_to_what_matters() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (85_131_264, "81.2 MiB"),
            (1_048_575, "1.0 MiB"),
            (500 * 1024 * 1024, "500 MiB"),
            (3_328_599_654, "3.1 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(n), text, "{n}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-11-22T12:00:30Z", "0m"),
            ("2026-11-22T11:01:00Z", "59m"),
            ("2026-11-20T12:00:01Z", "47h"),
            ("2026-11-20T12:00:00Z", "2d"),
            ("2026-05-01T00:00:00Z", "205d"),
        ] {
            assert_eq!(age(then.parse().unwrap(), now), text, "{then}");
        }
    }

    #[test]
    fn runs_take_milliseconds_to_minutes() {
        let start: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (end, text) in [
            ("2026-11-22T11:59:59Z", "0 ms"),
            ("2026-11-22T12:00:00.061Z", "61 ms"),
            ("2026-11-22T12:00:03.25Z", "3.2 s"),
            ("2026-11-22T12:14:59.9Z", "14 min 59 s"),
        ] {
            assert_eq!(took(start, end.parse().unwrap()), text, "{end}");
        }
    }

    #[test]
    fn digests_are_short_and_everything_else_is_left_alone() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(
            short(&format!("web@{digest}: part of {digest}, which goes")),
            "web@sha256:0123456789ab: part of sha256:0123456789ab, which goes"
        );
        assert_eq!(short("sha256:"), "sha256:");
        assert_eq!(short("größe sha256:äö"), "größe sha256:äö");
        assert_eq!(
            without_digests(&format!("part of {digest}, which goes")),
            "part of sha256:…, which goes"
        );
    }

    #[test]
    fn nothing_of_a_report_can_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mred\r\nb\u{202e}c"), "a [31mred bc");
    }

    #[test]
    fn numbers_and_nouns() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "repository"), "1 repository");
        assert_eq!(count(1000, "repository"), "1,000 repositories");
        assert_eq!(count(2, "image"), "2 images");
        assert_eq!(past("delete"), "deleted");
        assert_eq!(past("copy"), "copied");
        assert_eq!(past("start"), "started");
    }

    /// A verb that is new is looked at here before an operator does.
    #[test]
    fn what_functions_do_is_told_in_words() {
        let kinds = [
            image_pruning::ACTION_KINDS,
            snapshot_rotation::ACTION_KINDS,
            scheduled_scaling::ACTION_KINDS,
            alarm_remediation::ACTION_KINDS,
        ];
        let regular = kinds.concat().into_iter();
        let regular = regular.filter(|kind| ODD.iter().all(|(odd, ..)| odd != kind));
        let told: BTreeSet<String> = regular
            .filter_map(|kind| Some(past(kind.split_once('_')?.0)))
            .collect();
        let expected = [
            "archived",
            "begun",
            "calmed",
            "closed",
            "copied",
            "created",
            "deleted",
            "drained",
            "ended",
            "finished",
            "opened",
            "parked",
            "raised",
            "recorded",
            "remembered",
            "reopened",
            "replaced",
            "resized",
            "set",
            "shared",
            "snapshotted",
            "stopped",
            "tagged",
            "told",
            "used",
            "woken",
            "written",
        ];
        assert_eq!(told, expected.map(str::to_owned).into());
    }
}
