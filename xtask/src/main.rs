//! House rules, parity runs and benchmarks against peers.

fn main() {}
