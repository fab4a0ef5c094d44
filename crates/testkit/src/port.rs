//! Free ports.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports that the kernel gives to nobody by itself (`ip_local_port_range` begins with
/// 32768): neither to outgoing connections nor to listeners on port 0.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// Where this process looks next; others begin elsewhere.
static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(97)));

/// A TCP port on the loopback address that nobody listens on right now, and that no
/// other call in this process is given soon. Prefer port 0 where a program can tell
/// which port it got.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let ports = (0..COUNT).map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT);
    let mut ports = ports.filter_map(|port| u16::try_from(port).ok());
    ports
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port on the loopback address")
}
