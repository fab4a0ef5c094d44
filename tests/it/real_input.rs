//! Real and hostile input through the command line, as an operator would send it.
//!
//! Needs `PROBITY_DATA`: the folder with the public data sets. Without it the test
//! says so and passes.

use flate2::read::GzDecoder;
use probity_cli::client::Client;
use probity_cli::samples::{Set, Sizes};
use probity_proto::audit::CheckLogRequest;
use probity_proto::orchestrator::{Case, ListCasesRequest};
use probity_testkit::eventually;
use probity_tests::load::is_settled;
use probity_tests::sandbox::{Embedded, binary};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MESSAGES: usize = 500;
const PAYMENT_ROWS: u32 = 100_000;
const LIMIT: Duration = Duration::from_secs(600);

/// What `case open` said in the end.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    opened: u64,
    refused: u64,
    items: u64,
    notes: Vec<String>,
}

/// Opens files of one kind by the command line.
fn open(platform: &Embedded, kind: &str, files: &[PathBuf]) -> Summary {
    let mut total = Summary { opened: 0, refused: 0, items: 0, notes: Vec::new() };
    // As many files as a command line takes.
    for some in files.chunks(200) {
        let output = Command::new(binary("probity"))
            .args(["case", "open", "--kind", kind, "--jobs", "16", "-o", "json", "--server", &platform.url])
            .arg("--token-file")
            .arg(platform.dir.join("token"))
            .args(some)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let numbers = summary(&text).unwrap_or_else(|| panic!("no summary in:\n{text}"));
        let clean = numbers[1] == 0;
        assert_eq!(output.status.code(), Some(i32::from(!clean)), "{text}");
        total.opened += numbers[0];
        total.refused += numbers[1];
        total.items += numbers[2];
        total.notes.extend(text.lines().map(str::to_owned));
    }
    assert_eq!(total.opened + total.refused, total.items, "counts add up");
    total
}

/// The numbers of the line `opened N, refused M of K items`.
fn summary(text: &str) -> Option<Vec<u64>> {
    let line = text.lines().find(|line| line.contains("opened ") && line.contains("refused "))?;
    let numbers: Vec<u64> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    (numbers.len() >= 3).then_some(numbers)
}

/// Waits until every case is final or waits for a person.
async fn settled(client: &Client) -> Vec<Case> {
    eventually(LIMIT, async || {
        let cases = all(client).await;
        let moving = cases.iter().filter(|case| !is_settled(case)).count();
        if moving == 0 { Ok(cases) } else { Err(moving) }
    })
    .await
}

async fn all(client: &Client) -> Vec<Case> {
    let (mut cases, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListCasesRequest { page_size: 1_000, page_token: token, ..ListCasesRequest::default() };
        let page = client.cases().list_cases(client.request(request, None).0).await.unwrap().into_inner();
        cases.extend(page.cases);
        token = page.next_page_token;
        if token.is_empty() {
            return cases;
        }
    }
}

/// Every JSON file below a folder.
fn json_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            json_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "json") {
            found.push(path);
        }
    }
}

/// Whether a file holds OCDS releases or records, and not a schema or a code list.
fn is_ocds(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let Ok(Value::Object(top)) = serde_json::from_slice::<Value>(&bytes) else { return false };
    let filled = |key: &str| top.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    filled("releases") || filled("records") || (top.contains_key("ocid") && !top.contains_key("$schema"))
}

fn ocds_examples(data: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    json_files(&data.join("ocds"), &mut files);
    files.retain(|path| is_ocds(path));
    files.sort();
    files
}

/// The raw messages of a set, as files.
fn mails(data: &Path, into: &Path) -> Vec<PathBuf> {
    let take = |set: &str, count: usize| {
        let file = std::fs::File::open(data.join("spamassassin").join(set)).unwrap();
        let lines = BufReader::new(GzDecoder::new(file)).lines().take(count);
        lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()).collect::<Vec<_>>()
    };
    let rows =
        take("spam-1.jsonl.gz", MESSAGES / 2).into_iter().chain(take("easy-ham-1.jsonl.gz", MESSAGES / 2));
    rows.enumerate()
        .map(|(n, row)| write(into, &format!("mail-{n}.eml"), &latin1(row["raw_latin1"].as_str().unwrap())))
        .collect()
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn texts(data: &Path, into: &Path) -> Vec<PathBuf> {
    let file = std::fs::File::open(data.join("sms-spam/messages.jsonl")).unwrap();
    let lines = BufReader::new(file).lines().take(MESSAGES).enumerate();
    lines
        .map(|(n, line)| {
            let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
            write(into, &format!("sms-{n}.txt"), row["text"].as_str().unwrap().as_bytes())
        })
        .collect()
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Tenders nobody can read, among them one line of 200 MB.
fn hostile(dir: &Path) -> Vec<PathBuf> {
    let good =
        r#"{"ocid":"ocds-1","id":"1","date":"2024-01-01T00:00:00Z","tag":["tender"],"tender":{"id":"t"}}"#;
    let long = dir.join("long.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&long).unwrap());
    writeln!(file, "{good}").unwrap();
    file.write_all(br#"{"ocid":""#).unwrap();
    for _ in 0..200 {
        file.write_all(&vec![b'x'; 1_000_000]).unwrap();
    }
    writeln!(file, "\"}}\n{}", good.replace("ocds-1", "ocds-2")).unwrap();
    file.flush().unwrap();
    let deep = format!("{{\"ocid\":\"a\",\"tender\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        long,
        write(dir, "truncated.json", br#"{"releases":[{"ocid":"a","tender":{"#),
        write(dir, "encoding.json", b"{\"releases\":[{\"ocid\":\"\xff\xfe\"}]}"),
        write(dir, "deep.json", deep.as_bytes()),
        write(dir, "empty.json", b""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_data_set_goes_through() {
    let Some(data) = std::env::var_os("PROBITY_DATA").map(PathBuf::from) else {
        println!("SKIPPED: PROBITY_DATA is not set, so there is no real input to try");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let client = platform.client();

    let tenders = ocds_examples(&data);
    assert!(tenders.len() > 20, "{} examples", tenders.len());
    let tenders = open(&platform, "tender", &tenders);
    assert_eq!(tenders.refused, 0, "{:#?}", tenders.notes);
    let mails = open(&platform, "message", &mails(&data, files.path()));
    let texts = open(&platform, "message", &texts(&data, files.path()));
    let payments =
        Set::new(5, Sizes { payments: 1, rows: PAYMENT_ROWS, ..Sizes::default() }).payments().next().unwrap();
    let payments = open(&platform, "payment", &[write(files.path(), "payments.csv", payments.bytes())]);
    let hostile = open(&platform, "tender", &hostile(files.path()));
    println!(
        "tenders {} · mails {} · texts {} · payment files {}",
        tenders.opened, mails.opened, texts.opened, payments.opened
    );
    assert_eq!((mails.opened, texts.opened, payments.opened), (500, 500, 1));
    assert_eq!((hostile.opened, hostile.refused), (2, 5), "{:#?}", hostile.notes);
    for name in ["long.jsonl:2", "truncated.json", "encoding.json", "deep.json", "empty.json"] {
        assert!(
            hostile.notes.iter().any(|note| note.contains(name)),
            "{name} is not named: {:#?}",
            hostile.notes
        );
    }

    let cases = settled(&client).await;
    let opened = tenders.opened + mails.opened + texts.opened + payments.opened + hostile.opened;
    assert_eq!(cases.len() as u64, opened, "every opened case is listed");
    let rss = std::fs::read_to_string(format!("/proc/{}/status", platform.pid())).unwrap();
    let rss = rss.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    let check = eventually(Duration::from_secs(30), async || {
        let check =
            client.audit().check_log(client.request(CheckLogRequest {}, None).0).await.unwrap().into_inner();
        if check.entries_checked.cast_unsigned() > opened { Ok(check) } else { Err(check.entries_checked) }
    })
    .await;
    assert!(check.intact, "{}", check.problem);
    println!("{} cases settled, {} entries intact, {rss}", cases.len(), check.entries_checked);
    platform.stop().await;
}
