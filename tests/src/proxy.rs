//! A line between two services that can be slow, narrow, cut or torn: a TCP proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Bytes read at once.
const PIECE: usize = 16 << 10;
/// Pieces on their way at once, so that a cut line fills up as a real one does.
const UNDER_WAY: usize = 64;

/// What a line is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// As it should be.
    Clear,
    /// What the caller sends arrives so much later.
    Late(Duration),
    /// So many bytes a second each way.
    Narrow(u32),
    /// At most so many bytes at a time.
    Sliced(usize),
    /// Nothing passes, either way.
    Cut,
    /// Nothing of the caller arrives.
    CutTo,
    /// Nothing of the callee arrives.
    CutFrom,
    /// Connections are reset, those that are made too.
    Torn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    To,
    From,
}

impl Line {
    const fn passes(self, way: Way) -> bool {
        !matches!((self, way), (Self::Cut, _) | (Self::CutTo, Way::To) | (Self::CutFrom, Way::From))
    }

    const fn delay(self, way: Way) -> Duration {
        match (self, way) {
            (Self::Late(delay), Way::To) => delay,
            _ => Duration::ZERO,
        }
    }

    /// The most bytes written at once, and the pause after each.
    fn step(self) -> (usize, Duration) {
        match self {
            Self::Sliced(bytes) => (bytes.max(1), Duration::ZERO),
            Self::Narrow(rate) => {
                let bytes = (rate / 64).max(1);
                (bytes as usize, Duration::from_secs(1) * bytes / rate.max(1))
            }
            _ => (PIECE, Duration::ZERO),
        }
    }
}

/// A proxy; its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    carried: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Passes on what comes to a port of the loopback address.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (line, seen) = watch::channel(Line::Clear);
        let carried = Arc::new(AtomicU64::new(0));
        let counted = carried.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, seen.clone(), counted.clone()));
            }
        });
        Self { address, line, carried, accepting }
    }

    /// Where callers connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the line, under connections too.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Bytes it has passed on.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, until an end closes it, the line is torn or the proxy is gone.
async fn carry(mut near: TcpStream, to: u16, mut line: watch::Receiver<Line>, carried: Arc<AtomicU64>) {
    let torn = *line.borrow() == Line::Torn;
    let far = if torn { None } else { TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.ok() };
    let Some(mut far) = far else {
        let _reset = near.set_zero_linger();
        return;
    };
    let _quick = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    let torn = {
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        let (there, back) = (line.clone(), line.clone());
        tokio::select! {
            () = pump(from_near, to_far, Way::To, there, &carried) => false,
            () = pump(from_far, to_near, Way::From, back, &carried) => false,
            torn = line.wait_for(|line| *line == Line::Torn) => torn.is_ok(),
        }
    };
    if torn {
        let _reset = near.set_zero_linger().and_then(|()| far.set_zero_linger());
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    way: Way,
    line: watch::Receiver<Line>,
    carried: &AtomicU64,
) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let writing = write(to, way, line.clone(), receiver, carried);
    let reading = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            let due = Instant::now() + line.borrow().delay(way);
            if sender.send((due, piece[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    // What was read arrives before the end does.
    tokio::join!(reading, writing);
}

async fn write(
    mut to: WriteHalf<'_>,
    way: Way,
    mut line: watch::Receiver<Line>,
    mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
    carried: &AtomicU64,
) {
    while let Some((due, piece)) = pieces.recv().await {
        tokio::time::sleep_until(due).await;
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            let Ok(now) = line.wait_for(|line| line.passes(way)).await.map(|line| *line) else { return };
            let (most, pause) = now.step();
            let (slice, after) = rest.split_at(most.min(rest.len()));
            if to.write_all(slice).await.is_err() {
                return;
            }
            carried.fetch_add(slice.len() as u64, Ordering::Relaxed);
            rest = after;
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ended = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    /// Sends so many bytes there and back; how long that took.
    async fn there_and_back(stream: &mut TcpStream, bytes: usize) -> std::io::Result<Duration> {
        let (begun, sent) = (Instant::now(), vec![7; bytes]);
        let (mut from, mut to) = stream.split();
        let mut got = vec![0; bytes];
        let (sending, getting) = tokio::join!(to.write_all(&sent), from.read_exact(&mut got));
        sending.and(getting.map(drop))?;
        assert_eq!(got, sent);
        Ok(begun.elapsed())
    }

    #[tokio::test]
    async fn it_is_what_it_is_told_to_be() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let ms = Duration::from_millis;
        for (line, bytes, least) in [
            (Line::Clear, 100_000, ms(0)),
            (Line::Late(ms(150)), 10, ms(150)),
            (Line::Narrow(64 << 10), 16 << 10, ms(200)),
            (Line::Sliced(7), 20_000, ms(0)),
        ] {
            proxy.set(line);
            let took = there_and_back(&mut stream, bytes).await.unwrap();
            assert!(took >= least, "{line:?}: {took:?}");
        }
        for line in [Line::Cut, Line::CutTo, Line::CutFrom] {
            proxy.set(line);
            {
                let cut = there_and_back(&mut stream, 10);
                tokio::pin!(cut);
                assert!(tokio::time::timeout(ms(100), &mut cut).await.is_err(), "{line:?}");
                proxy.set(Line::Clear);
                cut.await.unwrap(); // what was under way arrives
            }
        }
        proxy.set(Line::Torn);
        let torn = stream.read(&mut [0; 1]).await;
        assert_eq!(torn.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert!(proxy.carried() > 200_000);
    }
}
