//! What a platform prints once it is ready: addresses, and lines to paste.

use crate::platform::Platform;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::Path;

/// The addresses of a platform.
#[must_use]
pub fn addresses(platform: &Platform) -> String {
    let (url, admin) = (platform.url(), platform.admin_url());
    let rows = [
        ("REST and gRPC", url.clone()),
        ("about it", format!("{url}/v1/platform")),
        ("metrics, probes", format!("{admin}/metrics  {admin}/readyz")),
        ("token (admin)", platform.token_file().display().to_string()),
        ("data", platform.data().display().to_string()),
    ];
    rows.iter().fold(String::new(), |mut text, (label, value)| {
        let _ = writeln!(text, "  {label:<16} {value}");
        text
    })
}

/// How this program was called, so that pasted lines call the same one.
#[must_use]
pub fn program() -> String {
    let name = std::env::args().next().unwrap_or_else(|| "probity".to_owned());
    if name.contains(char::is_whitespace) { format!("'{name}'") } else { name }
}

/// The line that tells the command line where the platform is.
#[must_use]
pub fn export(url: &str, token_file: &Path) -> String {
    format!("export PROBITY_SERVER={url} PROBITY_TOKEN_FILE={}", token_file.display())
}

/// Lines to paste: the command line, curl and grpcurl, on a sample tender when
/// one is given.
#[must_use]
pub fn lines(program: &str, url: &str, token_file: &Path, sample: Option<&Path>) -> String {
    let token = token_file.display();
    let file = sample.map_or_else(|| "FILE.json".to_owned(), |path| path.display().to_string());
    let document = sample.and_then(|path| std::fs::read(path).ok()).map_or_else(
        || "documents/SHA256".to_owned(),
        |bytes| format!("documents/{}", hex::encode(Sha256::digest(bytes))),
    );
    let host = url.trim_start_matches("http://");
    let bearer = format!("\"Authorization: Bearer $(cat {token})\"");
    let export = export(url, token_file);
    format!(
        "Command line:
  {export}
  {program} case open --kind tender {file}
  {program} case list
curl:
  curl -sS -H {bearer} --data-binary @{file} '{url}/v1/documents?media_type=application/json'
  curl -sS -H {bearer} -H 'Idempotency-Key: try-1' -H 'Content-Type: application/json' -d '{{\"kind\":\"CASE_KIND_TENDER\",\"documents\":[\"{document}\"]}}' {url}/v1/cases
  curl -sS -H {bearer} {url}/v1/cases
grpcurl:
  grpcurl -plaintext {host} list
  grpcurl -plaintext -H {bearer} {host} probity.orchestrator.v1.CaseService/ListCases
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_ready_to_paste() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.json");
        std::fs::write(&file, "{}").unwrap();
        let text = lines("probity", "http://127.0.0.1:8080", Path::new("data/token"), Some(&file));
        let hash = hex::encode(Sha256::digest("{}"));
        for part in [
            "probity case open --kind tender ",
            &format!("[\"documents/{hash}\"]"),
            "grpcurl -plaintext -H \"Authorization: Bearer $(cat data/token)\" 127.0.0.1:8080 probity.",
            &format!("--data-binary @{}", file.display()),
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(lines("probity", "http://h:1", Path::new("t"), None).contains("@FILE.json"));
    }
}
