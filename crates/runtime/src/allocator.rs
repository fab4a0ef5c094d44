//! The allocator of every service.
//!
//! A call here is hundreds of short-lived values, often freed on another thread than
//! the one that made them: with the system's allocator a fifth of the processor time
//! went into it. Its defaults are in `.cargo/config.toml`. See ADR 0014.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
