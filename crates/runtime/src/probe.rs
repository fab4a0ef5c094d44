//! `--probe`: asks the service that is running whether it is ready. Images have no
//! other program that a supervisor of containers could ask with.
//!
//! Deliberately absent: an HTTP client. One request, and the first line of the
//! answer, is all there is to it.

use anyhow::Context as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than the admin port gives the stores.
const LIMIT: Duration = Duration::from_secs(3);
const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const READY: &[u8] = b"HTTP/1.1 200 ";

/// Whether the service with this admin address says that it is ready.
///
/// # Errors
/// When it does not answer.
pub fn is_ready(admin: SocketAddr) -> anyhow::Result<bool> {
    let addr = reachable(admin);
    let mut answer = [0; READY.len()];
    ask(addr, &mut answer).with_context(|| format!("{addr} does not answer; is the service running?"))?;
    Ok(answer == READY)
}

fn ask(addr: SocketAddr, answer: &mut [u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(REQUEST)?;
    stream.read_exact(answer)
}

/// Where a listener on every address is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).expect("its request");
            stream.write_all(answer.as_bytes()).expect("answered");
        });
        addr
    }

    #[test]
    fn only_200_is_ready() {
        let check = |answer: &'static str, expect: bool| {
            assert_eq!(is_ready(answering(answer)).expect(answer), expect, "{answer}");
        };
        check("HTTP/1.1 200 OK\r\n\r\n", true);
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n", false);
        assert!(is_ready(answering("")).is_err());
    }

    #[test]
    fn every_address_is_reached_by_loopback() {
        let check = |listen: &str, expect: &str| {
            assert_eq!(reachable(listen.parse().expect(listen)).to_string(), expect);
        };
        check("0.0.0.0:9080", "127.0.0.1:9080");
        check("[::]:9080", "[::1]:9080");
        check("10.0.0.7:9080", "10.0.0.7:9080");
    }
}
