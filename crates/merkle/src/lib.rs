//! RFC 6962 trees, tiles, signed checkpoints and receipts, without I/O.
