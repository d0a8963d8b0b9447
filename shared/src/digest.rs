//! The digests by which policies and plans are told apart.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// `sha256:` and hex over the JSON of a value.
pub(crate) fn sha256_of(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(&json) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
