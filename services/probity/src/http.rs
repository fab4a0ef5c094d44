//! JSON from the programs beside the platform: Prometheus and Jaeger.
//!
//! Deliberately absent: TLS and credentials. Both are reached through a forwarded
//! port or inside the cluster.

use crate::failure::Failure;
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// Longest time an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Largest answer: a thousand traces.
const LARGEST: usize = 256 << 20;

/// A program that answers JSON.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    name: &'static str,
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Api {
    /// The program at `base`, such as `http://127.0.0.1:9090`, given by `flag`.
    ///
    /// # Errors
    /// [`Failure::Usage`] when that is no address.
    pub(crate) fn new(name: &'static str, flag: &str, base: &str) -> Result<Self, Failure> {
        let base = base.trim_end_matches('/').to_owned();
        let sound = base.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http"));
        if !sound {
            let hint = "an address looks like http://127.0.0.1:9090; forward a port to what is further away";
            return Err(Failure::Usage(format!("{flag} {base}: {hint}")));
        }
        Ok(Self { name, base, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// The JSON at a path.
    ///
    /// # Errors
    /// When nobody answers, or something else than 200 and JSON.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let url = format!("{}{path}{}", self.base, encoded(query));
        let answer = tokio::time::timeout(LIMIT, self.fetch(&url)).await;
        let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", LIMIT.as_secs())));
        Ok(answer.with_context(|| format!("{} at {} cannot be asked", self.name, self.base))?)
    }

    async fn fetch(&self, url: &str) -> anyhow::Result<Value> {
        let response = self.client.get(url.parse()?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| anyhow!("the answer cannot be read: {error}"))?.to_bytes();
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body);
            return Err(anyhow!("{status}: {}", crate::output::short(&said, 200)));
        }
        serde_json::from_slice(&body).context("the answer is no JSON")
    }
}

fn encoded(query: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let check = |query: &[(&str, &str)], expect: &str| assert_eq!(encoded(query), expect);
        check(&[], "");
        check(&[("query", "up == 1")], "?query=up%20%3D%3D%201");
        check(&[("a", "1"), ("b", "ü{}")], "?a=1&b=%C3%BC%7B%7D");
    }

    #[test]
    fn addresses_are_checked_first() {
        let check = |base: &str, fits: bool| {
            let api = Api::new("Prometheus", "--prometheus", base);
            assert_eq!(api.is_ok(), fits, "{base}");
        };
        check("http://127.0.0.1:9090", true);
        check("http://127.0.0.1:9090/prefix/", true);
        check("https://prometheus.example", false);
        check("prometheus:9090", false);
    }
}
