//! The allocator of every service.
//!
//! A call here is hundreds of short-lived values on two or more threads: with the
//! system's allocator a fifth of the processor time went into it. See ADR 0014.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
