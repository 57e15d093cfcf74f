//! Tests across crates and services, and the contracts with outside systems. Everything is in `it/` and `contracts/`.
