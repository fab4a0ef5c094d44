//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

/// A TCP port on the loopback address that nobody listens on right now. Prefer
/// port 0 where a program can tell which port it got.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback address");
    listener.local_addr().expect("the address of a bound socket").port()
}
