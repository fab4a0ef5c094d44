//! Connections that mean no good, against the real door: what never begins or never
//! ends is cut, floods are ended, strange metadata is refused, and whoever behaves is
//! served all the while. Rows 17 and 20 to 24 of the fault matrix.

use bytes::{BufMut as _, Bytes, BytesMut};
use probity_testkit::{Child, eventually};
use probity_tests::Embedded;
use probity_tests::sandbox::binary;
use probity_tests::workflows::machine::rss_mb;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Everything must have come to its end by then.
const LIMIT: Duration = Duration::from_secs(120);
/// What a flood may add to the memory, in megabytes.
const MEMORY: f64 = 64.0;

/// Connections of each sort: some, or as `PROBITY_CONNECTIONS` says.
fn connections() -> usize {
    std::env::var("PROBITY_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// A platform and who behaves.
struct Door {
    platform: Embedded,
    token: String,
}

impl Door {
    async fn open(dir: &Path) -> Self {
        Self::of(Embedded::start(dir).await)
    }

    fn of(platform: Embedded) -> Self {
        let token = std::fs::read_to_string(platform.dir.join("token")).expect("the token");
        Self { token: token.trim().to_owned(), platform }
    }

    async fn connect(&self) -> TcpStream {
        let addr = self.platform.url.trim_start_matches("http://").to_owned();
        TcpStream::connect(addr).await.expect("a connection")
    }

    async fn sending(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        // Who is refused early may be cut while still sending.
        let _ = stream.write_all(bytes).await;
        stream
    }

    /// A call on a connection of its own: the status line.
    async fn call(&self) -> Result<String, std::io::Error> {
        let request = format!(
            "GET /v1/cases HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
            self.token
        );
        let addr = self.platform.url.trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    async fn is_served(&self) {
        assert_eq!(self.call().await.expect("an answer"), "HTTP/1.1 200 OK");
    }

    /// Has opened whatever it opens when it is first asked for.
    async fn is_warm(&self) {
        futures::future::join_all((0..64).map(|_| self.is_served())).await;
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.platform.pid())).map_or(0, Iterator::count)
    }
}

/// Reads until the other side ends the connection: what came, and after how long.
async fn to_the_end(mut stream: TcpStream) -> (Vec<u8>, Duration) {
    let (mut read, begun) = (Vec::new(), Instant::now());
    let end = tokio::time::timeout(LIMIT, stream.read_to_end(&mut read)).await;
    assert!(end.is_ok(), "the connection was left open");
    (read, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_begins_or_never_ends_is_cut_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await;
    door.is_warm().await;
    let before = door.descriptors();
    let auth = format!("authorization: Bearer {}\r\n", door.token);
    let json = "content-type: application/json\r\ncontent-length: 90\r\n";
    let kinds = [
        ("says nothing", String::new()),
        ("begins a preface", "PRI * HTTP/2.0\r\n".to_owned()),
        ("has no end of headers", "GET /v1/cases HTTP/1.1\r\nhost: x\r\nx-slow: ".to_owned()),
        (
            "has no end of its body",
            format!("POST /v1/cases HTTP/1.1\r\nhost: x\r\n{auth}{json}\r\n{{\"kind\""),
        ),
        ("does not answer a ping", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned()),
    ];
    let each = connections();
    let all = kinds.iter().map(async |(kind, beginning)| {
        let mut slow = Vec::new();
        for _ in 0..each {
            slow.push(door.sending(beginning.as_bytes()).await);
        }
        door.is_served().await;
        let ended = futures::future::join_all(slow.into_iter().map(to_the_end)).await;
        let longest = ended.iter().map(|(_, took)| *took).max().unwrap_or_default();
        println!("{each} connections of whom each {kind}: all cut after {longest:?}");
        door.is_served().await;
    });
    futures::future::join_all(all).await;
    eventually(LIMIT, async || {
        let now = door.descriptors();
        if now <= before + before / 10 { Ok(()) } else { Err(now) }
    })
    .await;
    door.platform.stop().await;
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(9 + payload.len());
    frame.put_uint(payload.len() as u64, 3);
    frame.put_u8(kind);
    frame.put_u8(flags);
    frame.put_u32(stream);
    frame.put_slice(payload);
    frame.freeze()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / ` of somebody, in the words of HPACK's static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

/// Whether a frame of that kind is among these bytes.
fn has(bytes: &[u8], kind: u8) -> bool {
    let mut rest = bytes;
    while let Some((head, body)) = rest.split_at_checked(9) {
        if head[3] == kind {
            return true;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        rest = body.get(length..).unwrap_or_default();
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_ended_and_others_are_served() {
    const FRAMES: u32 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await;
    door.is_served().await;
    let resets = (0..FRAMES).flat_map(|n| {
        let stream = 2 * n + 1;
        let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), cancel]
    });
    // A literal field without indexing: `a: b`, again and again and never an end.
    let more: Vec<u8> = [0x00, 1, b'a', 1, b'b'].repeat(100);
    let endless = std::iter::once(frame(HEADERS, END_STREAM, 1, GET))
        .chain((0..FRAMES).map(|_| frame(CONTINUATION, 0, 1, &more)));
    let pings = (0..FRAMES).map(|n| frame(PING, 0, 0, &u64::from(n).to_be_bytes()));
    let settings = (0..FRAMES).map(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]));
    let table: [(&str, Bytes, bool); 4] = [
        ("rapid reset", collect(resets), true),
        ("headers without an end", collect(endless), true),
        ("pings", collect(pings), false),
        ("settings", collect(settings), false),
    ];
    for (kind, flood, must_end) in table {
        let (memory, _) = rss_mb(door.platform.pid());
        let mut stream = door.sending(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let (mut reader, mut writer) = stream.split();
        // Nobody reads until all is sent, or cannot be sent any more.
        let sent = tokio::time::timeout(Duration::from_secs(5), writer.write_all(&flood)).await;
        door.is_served().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), reader.read_to_end(&mut answer)).await;
        let ended = has(&answer, GOAWAY) || !matches!(sent, Ok(Ok(()))) || matches!(read, Ok(Err(_)));
        println!("{kind}: {} bytes, sent {sent:?}, ended {ended}", flood.len());
        assert!(ended || !must_end, "{kind}: the connection goes on");
        drop(stream);
        door.is_served().await;
        let (after, _) = rss_mb(door.platform.pid());
        assert!(after < memory + MEMORY, "{kind}: {memory} MB before, {after} after");
    }
    door.platform.stop().await;
}

fn collect(frames: impl Iterator<Item = Bytes>) -> Bytes {
    let mut all = BytesMut::from(&frame(SETTINGS, 0, 0, &[])[..]);
    frames.for_each(|frame| all.put_slice(&frame));
    all.freeze()
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_metadata_is_refused_and_the_process_lives() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await;
    let many = (0..10_000).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let table = [
        ("64 KiB", format!("x-large: {}\r\n", "v".repeat(64 << 10))),
        ("10,000 keys", many),
        ("no bytes", "trace-bin: not base64 at all!\r\n".to_owned()),
        ("a wrong patience", "grpc-timeout: soon\r\n".to_owned()),
        ("an endless patience", "grpc-timeout: 999999999H\r\n".to_owned()),
        ("a control character", "x-request-id: a\u{1b}[31mb\r\n".to_owned()),
        ("two lines", "x-request-id: a\r\n b: forged\r\n".to_owned()),
    ];
    for (what, headers) in table {
        let request = format!(
            "GET /v1/cases HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n{headers}\r\n",
            door.token
        );
        let (answer, _) = to_the_end(door.sending(request.as_bytes()).await).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or("cut").to_owned();
        println!("{what}: {status}");
        // What does not concern this call may stand there; nothing is an error of ours.
        assert!(!status.starts_with('5'), "{what}: {answer}");
        door.is_served().await;
    }
    door.platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_are_waited_for_and_reconnects_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    let program = binary("probity");
    command.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""]).arg(program);
    command.args(["dev", "--port", "0", "--no-samples", "--data"]).arg(dir.path());
    let door = Door::of(Embedded::of(Child::spawn(command), dir.path()).await);
    door.is_warm().await;
    let before = door.descriptors();
    // More than there are descriptors for: some wait to be accepted.
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(door.connect().await);
    }
    eventually(LIMIT, async || match door.descriptors() {
        all if all >= 250 => Ok(()),
        few => Err(few),
    })
    .await;
    drop(idle);
    let begun = Instant::now();
    eventually(LIMIT, async || match door.call().await {
        Ok(line) if line == "HTTP/1.1 200 OK" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    println!("served {:?} after the connections were gone", begun.elapsed());
    for _ in 0..10 * connections() {
        door.is_served().await;
    }
    eventually(LIMIT, async || {
        let now = door.descriptors();
        if now <= before + before / 10 { Ok(()) } else { Err(format!("{before} before, {now} after")) }
    })
    .await;
    door.platform.stop().await;
}
