//! Shared pieces of the kernel benchmarks.
