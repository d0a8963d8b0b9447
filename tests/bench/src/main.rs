//! Measures the functions against a paging, batching AWS of its own.

fn main() {}
