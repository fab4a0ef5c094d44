//! Streams over REST: lines, events, files, uploads.

use crate::world::{Answer, World};
use bytes::Bytes;
use http::header;
use http_body_util::Full;
use probity_testkit::eventually;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn get(world: &World, path: &str, accept: &str) -> Answer {
    let request = world
        .request(&format!("GET {path}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .header(header::ACCEPT, accept);
    world.send(request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn a_watched_case_comes_in_lines() {
    let world = World::new().await;
    let answer = get(&world, "/v1/cases/c1:watch", "*/*").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = lines.iter().map(|line| line["result"]["sequence"].as_str().unwrap()).collect();
    assert_eq!(sequences, ["1", "2"]);
    let answer = get(&world, "/v1/cases/c1:watch?afterSequence=1", "*/*").await;
    assert_eq!(answer.text().lines().count(), 1);
}

#[tokio::test]
async fn a_watched_case_comes_as_events() {
    let world = World::new().await;
    let answer = get(&world, "/v1/cases/c1:watch", "text/event-stream").await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let events: Vec<_> = answer.text().split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2);
    let first: Value = serde_json::from_str(events[0].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(first["sequence"], "1");
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_in_its_last_line() {
    let world = World::new().await;
    let answer = get(&world, "/v1/cases/breaks:watch", "*/*").await;
    let last: Value = serde_json::from_str(answer.text().lines().last().unwrap()).unwrap();
    assert_eq!(answer.text().lines().count(), 3);
    assert_eq!(
        (last["error"]["code"].as_str(), last["error"]["status"].as_u64()),
        (Some("ORC-0001"), Some(503))
    );
    assert_eq!(last["error"]["request_id"], answer.header("x-request-id"));
    let answer = get(&world, "/v1/cases/breaks:watch", "text/event-stream").await;
    assert!(answer.text().contains("\n\nevent: error\ndata: {"), "{}", answer.text());
    let answer = get(&world, "/v1/cases/missing:watch", "*/*").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "application/problem+json"));
}

#[tokio::test]
async fn lines_arrive_as_they_happen() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    let request = format!(
        "GET /v1/cases/endless:watch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        world.admin
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while !text.contains("\"sequence\":\"2\"") {
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "ended early: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    assert!(!text.contains("\"error\""));
}

#[tokio::test]
async fn a_document_is_read_as_it_is_or_as_lines() {
    let world = World::new().await;
    let answer = get(&world, "/v1/documents/ab:read", "*/*").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello world"));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("content-disposition"), "attachment");
    let answer = get(&world, "/v1/documents/ab:read", "application/json").await;
    let first: Value = serde_json::from_str(answer.text().lines().next().unwrap()).unwrap();
    assert_eq!(first["result"]["data"], "aGVsbG8g");
    let answer = get(&world, "/v1/documents/empty:read", "*/*").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    let answer = get(&world, "/v1/documents/missing:read", "*/*").await;
    assert_eq!(answer.status, 404, "a failure before the first byte has its own status");
}

#[tokio::test]
async fn a_document_that_breaks_off_is_seen_to_break_off() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    let request = format!(
        "GET /v1/documents/cut:read HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        world.admin
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    let text = String::from_utf8_lossy(&all);
    assert!(!text.ends_with("0\r\n\r\n"), "the last chunk is missing, so the client knows: {text}");
}

async fn upload(world: &World, query: &str, body: Bytes) -> Answer {
    let request = world
        .request(&format!("POST /v1/documents{query}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    world.send(request.body(Full::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_body_becomes_a_document_whatever_its_size() {
    let world = World::new().await;
    for size in [0, 1, 100_000, 256 << 10, (256 << 10) + 1, 5 << 20] {
        let answer =
            upload(&world, "?filename=a%20b.txt&mediaType=text/plain", vec![b'x'; size].into()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        assert_eq!(json["sizeBytes"], size.to_string());
        assert_eq!(
            (json["filename"].as_str(), json["mediaType"].as_str()),
            (Some("a b.txt"), Some("text/plain"))
        );
    }
    let answer = upload(&world, "?nope=1", Bytes::from("x")).await;
    assert_eq!((answer.status.as_u16(), answer.json()["errors"][0]["field"].as_str()), (400, Some("nope")));
    let answer = upload(&world, "", Bytes::from("REFUSE this")).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (400, Some("INT-0001")));
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_no_upload() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    let request = format!(
        "POST /v1/documents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000000\r\n\r\n",
        world.admin
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&[b'x'; 300_000]).await.unwrap();
    eventually(
        Duration::from_secs(10),
        async || if world.peers.count() > 0 { Ok(()) } else { Err("not begun") },
    )
    .await;
    drop(stream);
    let whole = upload(&world, "", Bytes::from("whole")).await;
    assert_eq!(whole.status, 200);
    assert_eq!(world.peers.uploads(), [5], "only the whole one counts");
}
