//! The CNI binary `multiplane`.

fn main() {}
