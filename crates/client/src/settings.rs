//! How a client behaves: addresses, tokens, patience.

use crate::{Client, Error};
use probity_types::retry::RetryPolicy;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

/// Longest time one call may take, all attempts together, unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is taken; receipts of the audit log may have 64 MiB.
const LARGEST_ANSWER: usize = 80 * 1024 * 1024;

/// Where bearer tokens come from, asked before every call.
#[derive(Clone)]
pub(crate) enum Token {
    None,
    Fixed(MetadataValue<Ascii>),
    Source(Arc<dyn Fn() -> String + Send + Sync>),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Token::None",
            Self::Fixed(_) => "Token::Fixed(…)",
            Self::Source(_) => "Token::Source(…)",
        })
    }
}

impl Token {
    /// The `authorization` header; `None` where there is no token, or none that a
    /// header can hold.
    pub(crate) fn header(&self) -> Option<MetadataValue<Ascii>> {
        match self {
            Self::None => None,
            Self::Fixed(value) => Some(value.clone()),
            Self::Source(source) => bearer(source().trim()).ok(),
        }
    }
}

/// The header of a token, which must not end up in a log.
fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    let value = MetadataValue::try_from(format!("Bearer {token}")).ok().filter(|_| plain);
    let mut value = value.ok_or_else(|| {
        Error::Setting("the token is empty or holds characters that no token has".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Builds a [`Client`] that behaves as you like.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    endpoint: String,
    token: Token,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) largest_answer: usize,
}

impl ClientBuilder {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            token: Token::None,
            timeout: TIMEOUT,
            retry: RetryPolicy::QUICK,
            largest_answer: LARGEST_ANSWER,
        }
    }

    /// The bearer token of every call.
    ///
    /// # Errors
    /// [`Error::Setting`] when it is empty or holds what no token has.
    pub fn token(mut self, token: &str) -> Result<Self, Error> {
        self.token = Token::Fixed(bearer(token.trim())?);
        Ok(self)
    }

    /// A function that gives the token, asked before every call: for tokens that
    /// are renewed while the program runs. What it gives is used as it is; keep it
    /// quick.
    #[must_use]
    pub fn token_source(mut self, source: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.token = Token::Source(Arc::new(source));
        self
    }

    /// A file that holds the token, read before every call.
    #[must_use]
    pub fn token_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.token_source(move || std::fs::read_to_string(&path).unwrap_or_default())
    }

    /// Longest time one call may take, all attempts together; 60 s when not said.
    /// A deadline set on a request comes first.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often and how patiently calls are repeated that may be;
    /// [`RetryPolicy::QUICK`] when not said, [`RetryPolicy::NEVER`] switches it off.
    ///
    /// # Errors
    /// [`Error::Setting`] names what in it cannot be.
    pub fn retry(mut self, policy: RetryPolicy) -> Result<Self, Error> {
        policy.validate().map_err(|why| Error::Setting(format!("retry policy: {why}")))?;
        self.retry = policy;
        Ok(self)
    }

    /// Largest answer that is taken, in bytes; 80 MiB when not said.
    #[must_use]
    pub const fn largest_answer(mut self, bytes: usize) -> Self {
        self.largest_answer = bytes;
        self
    }

    /// Connects, so that a wrong address shows at once.
    ///
    /// # Errors
    /// [`Error::Setting`] for an address that is none, [`Error::Connect`] when
    /// nobody answers there.
    pub async fn connect(self) -> Result<Client, Error> {
        let channel = self.endpoint()?.connect().await;
        let channel = channel.map_err(|source| Error::Connect { endpoint: self.endpoint.clone(), source })?;
        Ok(Client::new(channel, &self))
    }

    /// A client that connects with its first call. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// [`Error::Setting`] for an address that is none.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        Ok(Client::new(self.endpoint()?.connect_lazy(), &self))
    }

    pub(crate) const fn bearer(&self) -> &Token {
        &self.token
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let wrong = |why: String| {
            Error::Setting(format!("{:?} is no address ({why}); write http://HOST:PORT", self.endpoint))
        };
        if !self.endpoint.starts_with("http://") {
            return Err(wrong("it does not begin with http://".to_owned()));
        }
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).map_err(|e| wrong(e.to_string()))?;
        Ok(endpoint
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_used_is_refused_by_name() {
        let check = |endpoint: &str, token: &str, expect: Option<&str>| {
            let built = ClientBuilder::new(endpoint).token(token).and_then(ClientBuilder::connect_lazy);
            match (built, expect) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, expect) => panic!("{endpoint} {token}: {got:?} instead of {expect:?}"),
            }
        };
        check("http://127.0.0.1:8080", "abc.def", None);
        check("http://127.0.0.1:8080", " abc\n", None);
        check("127.0.0.1:8080", "abc", Some("http://HOST:PORT"));
        check("ftp://x", "abc", Some("is no address"));
        check("http://", "abc", Some("is no address"));
        check("http://127.0.0.1:1", "", Some("token is empty"));
        check("http://127.0.0.1:1", "a b", Some("characters"));
        check("http://127.0.0.1:1", "a\r\nx: y", Some("characters"));
        let policy = RetryPolicy::new(0, 1, 1);
        assert!(ClientBuilder::new("http://x").retry(policy).is_err());
    }

    #[test]
    fn a_token_shows_nowhere() {
        let builder = ClientBuilder::new("http://x").token("s3cret").expect("a token");
        assert!(!format!("{builder:?}").contains("s3cret"));
        let header = builder.bearer().header().expect("a header");
        assert!(!format!("{header:?}").contains("s3cret"));
    }
}
