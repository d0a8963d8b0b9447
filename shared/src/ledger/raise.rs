//! Temporary raises: what alarm-remediation enlarges for a while is written
//! here first, so that nobody takes the raised size for what the resource
//! usually has.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Entry, Key, Ledger, LedgerError};

/// The partition of raises; the sort key is the resource's ARN.
pub const RAISES: &str = "raises";

/// One resource that is larger than usual for a while.
///
/// It stays until the raise has been undone, which may be after
/// [`until`](Self::until).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// The ARN of a service or an Auto Scaling group; it is in the key, and not in
    /// the body.
    #[serde(skip)]
    pub resource: String,
    /// The minimum before; `None` when it has none.
    pub min_before: Option<u32>,
    /// The desired number before; `None` when it was not touched.
    pub desired_before: Option<u32>,
    /// The maximum before; `None` when it has none.
    pub max_before: Option<u32>,
    /// When it is to be undone.
    pub until: Timestamp,
    /// What it was raised to, each time: what else it has then is somebody's choice.
    #[serde(default)]
    pub to: Vec<Sizes>,
}

/// Sizes that something was raised to; `None` is what was not touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The minimum.
    pub min: Option<u32>,
    /// The desired number.
    pub desired: Option<u32>,
    /// The maximum.
    pub max: Option<u32>,
}

impl Raise {
    /// Where it is written, with itself as the body.
    pub fn key(&self) -> Key {
        Key::new(RAISES, &self.resource)
    }

    /// The raise of an entry of [`RAISES`].
    ///
    /// # Errors
    /// [`LedgerError::Malformed`].
    pub fn of(entry: &Entry) -> Result<Self, LedgerError> {
        Ok(Self {
            resource: entry.key.sort.clone(),
            ..entry.parse()?
        })
    }
}

impl Ledger {
    /// Every raise that has not been undone, by resource.
    ///
    /// # Errors
    /// Those of [`Ledger::entries`].
    pub async fn raises(&self, now: Timestamp) -> Result<Vec<Raise>, LedgerError> {
        let entries = self.entries(RAISES, "", now).await?;
        entries.iter().map(Raise::of).collect()
    }
}
