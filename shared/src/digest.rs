//! The digests by which policies and plans are told apart.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// `sha256:` and hex over the JSON of a value, which a plan of 100,000 actions
/// never has in memory as a whole.
pub(crate) fn sha256_of(value: &impl Serialize) -> String {
    let mut json = BufWriter::new(Hasher(Sha256::new()));
    // The keys of every value here are text, which is all that could fail.
    let _ = serde_json::to_writer(&mut json, value);
    let hasher = json.into_inner().map_or_else(|_| Sha256::new(), |of| of.0);
    let mut text = "sha256:".to_owned();
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Takes what is written into its digest.
struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_that_of_the_json() {
        // printf '["plan",1]' | sha256sum
        let known = "sha256:3f2e41769b8156028e2faf4f25773c6d89ea2a34004ac44ed7bdf3968a2d2502";
        assert_eq!(sha256_of(&("plan", 1)), known);
        let long: Vec<u64> = (0..10_000).collect();
        let mut expected = "sha256:".to_owned();
        for byte in Sha256::digest(serde_json::to_vec(&long).unwrap()) {
            write!(expected, "{byte:02x}").unwrap();
        }
        assert_eq!(sha256_of(&long), expected);
    }
}
