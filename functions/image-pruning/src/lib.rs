//! image-pruning.
