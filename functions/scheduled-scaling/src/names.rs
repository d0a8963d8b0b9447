//! Tags and ledger entries: what they are called, and what parked resources are
//! marked with.

use std::fmt::{self, Display};
use std::str::FromStr;

use jiff::Timestamp;

use crate::world::{Sizes, Suspended};

/// The partition of the ledger.
pub const PARTITION: &str = "scheduled-scaling";

/// What the sort keys of one kind begin with.
pub(crate) mod kinds {
    /// How far an environment is.
    pub(crate) const ENVIRONMENT: &str = "environment#";
    /// What a person asked for.
    pub(crate) const OVERRIDE: &str = "override#";
    /// The sizes of a resource.
    pub(crate) const SIZE: &str = "size#";
    /// Who works on an environment.
    pub(crate) const LEASE: &str = "lease#";
}

/// The sort key of the sizes of a resource.
pub(crate) fn size_key(arn: &str) -> String {
    format!("{}{arn}", kinds::SIZE)
}

/// The value of [`steward::names::PARKED`]: since when, and the sizes that a service or group had,
/// so that a person can read them and bring them back without Steward.
///
/// `2026-11-23T19:00:00Z desired=2 min=1 max=4 suspended=in+out`. Tags of ECS and RDS
/// allow letters, digits, spaces and `_ . : / = + - @` (`Tag`, Amazon ECS API
/// Reference; "Tagging Amazon RDS resources", Amazon RDS User Guide).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The transition that parked it.
    pub at: Timestamp,
    /// The sizes before; nothing of a database.
    pub sizes: Sizes,
}

impl Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        let Sizes {
            min,
            desired,
            max,
            suspended,
        } = self.sizes;
        for (key, value) in [("desired", desired), ("min", min), ("max", max)] {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        let Some(suspended) = suspended else {
            return Ok(());
        };
        let names: Vec<&str> = suspended.names().collect();
        match names.as_slice() {
            [] => f.write_str(" suspended=none"),
            names => write!(f, " suspended={}", names.join("+")),
        }
    }
}

/// A value of [`PARKED`](steward::names::PARKED) that Steward did not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" does not say since when; allowed: 2026-11-23T19:00:00Z, with desired=2 min=1 max=4 \
     after it"
)]
pub struct MarkError(pub String);

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let bad = || MarkError(text.to_owned());
        let mut parts = text.split_whitespace();
        let at = parts.next().and_then(|at| at.parse().ok());
        let mut mark = Self {
            at: at.ok_or_else(bad)?,
            sizes: Sizes::default(),
        };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(bad)?;
            let number = || value.parse().map(Some).map_err(|_| bad());
            match key {
                "desired" => mark.sizes.desired = number()?,
                "min" => mark.sizes.min = number()?,
                "max" => mark.sizes.max = number()?,
                "suspended" => {
                    mark.sizes.suspended = Some(Suspended::of_names(value).ok_or_else(bad)?);
                }
                _ => return Err(bad()),
            }
        }
        Ok(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for text in [
            "2026-11-23T19:00:00Z",
            "2026-11-23T19:00:00Z desired=2",
            "2026-11-23T19:00:00Z desired=2 min=1 max=4 suspended=none",
            "2026-11-23T19:00:00Z desired=0 min=0 max=4 suspended=in+out+scheduled",
        ] {
            let mark: Mark = text.parse().unwrap();
            assert_eq!(mark.to_string(), text);
            // RDS takes no others.
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
            assert!(text.chars().all(is_allowed), "{text}");
        }
        for bad in [
            "",
            "yes",
            "2026-11-23T19:00:00Z desired",
            "2026-11-23T19:00:00Z desired=-1",
            "2026-11-23T19:00:00Z size=2",
            "2026-11-23T19:00:00Z suspended=all",
        ] {
            assert_eq!(bad.parse::<Mark>(), Err(MarkError(bad.to_owned())));
        }
    }
}
