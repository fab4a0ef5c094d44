//! The session of `probity login`: where its tokens are kept, and the next ones.
//!
//! One file, for its owner only, holds a session a platform. While it is read and
//! written it is locked: of two commands at once one refreshes, and the other takes
//! what it got.

use crate::args::Connect;
use crate::client::Client;
use crate::failure::Failure;
use anyhow::Context as _;
use probity_proto::gateway::{RefreshSessionRequest, Session};
use probity_types::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// An access token with less left than this is replaced, in seconds.
const SOON: i64 = 30;

/// The tokens of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) access: String,
    /// When the access token ends, in seconds since 1970.
    pub(crate) expires: i64,
    pub(crate) refresh: String,
}

impl From<&Session> for Kept {
    fn from(session: &Session) -> Self {
        Self {
            access: session.access_token.clone(),
            expires: session.expire_time.as_ref().map_or(0, |time| time.seconds),
            refresh: session.refresh_token.clone(),
        }
    }
}

/// The file of sessions, locked.
pub(crate) struct Sessions {
    file: File,
    by_server: BTreeMap<String, Kept>,
}

impl Sessions {
    /// Opens the file; made when it is not there.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.with_context(|| format!("the folder of {shown} cannot be made"))?;
        }
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = file.with_context(|| format!("the session file {shown} cannot be opened"))?;
        file.lock().with_context(|| format!("the session file {shown} cannot be locked"))?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("the session file {shown} cannot be read"))?;
        let hint = || format!("the session file {shown} is damaged; remove it and log in again");
        let by_server = if text.trim().is_empty() {
            BTreeMap::new()
        } else {
            serde_json::from_str(&text).with_context(hint)?
        };
        Ok(Self { file, by_server })
    }

    /// The session of a platform.
    pub(crate) fn get(&self, server: &str) -> Option<&Kept> {
        self.by_server.get(server)
    }

    /// Keeps a session, or forgets it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn set(&mut self, server: &str, kept: Option<Kept>) -> anyhow::Result<()> {
        match kept {
            Some(kept) => drop(self.by_server.insert(server.to_owned(), kept)),
            None => drop(self.by_server.remove(server)),
        }
        let text = serde_json::to_vec_pretty(&self.by_server)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.sync_all().context("the session file cannot be written")
    }
}

/// Where sessions are kept when nobody says where.
fn usual() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    config.map(|config| config.join("probity").join("sessions.json"))
}

/// The file of sessions.
///
/// # Errors
/// [`Failure::Usage`] when there is no home to keep it in.
pub(crate) fn path(connect: &Connect) -> Result<PathBuf, Failure> {
    let hint = "there is no home folder to keep the session in: give --session-file";
    connect.session_file.clone().or_else(usual).ok_or_else(|| Failure::Usage(hint.to_owned()))
}

/// A client as whoever the flags, the session of the platform, or the token file
/// says, in this order.
///
/// # Errors
/// As [`Client::new`], and when the session has ended.
pub async fn client(connect: &Connect) -> Result<Client, Failure> {
    if connect.token.is_some() || connect.token_file.is_some() {
        return Client::new(connect);
    }
    match access(connect).await? {
        Some(token) => Client::new(&Connect { token: Some(token), ..connect.clone() }),
        None => Client::new(connect),
    }
}

/// The access token of the session, refreshed where it ends soon.
async fn access(connect: &Connect) -> Result<Option<String>, Failure> {
    let Ok(path) = path(connect) else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    let mut sessions = Sessions::open(&path)?;
    let Some(kept) = sessions.get(&connect.server).cloned() else { return Ok(None) };
    if kept.expires - now() > SOON {
        return Ok(Some(kept.access));
    }
    let request = RefreshSessionRequest { refresh_token: kept.refresh };
    let call = |client: Client, request| async move { client.auth().refresh_session(request).await };
    let refreshed = Client::anonymous(connect)?.call("refresh the session", None, request, call).await?;
    let kept = Kept::from(&refreshed);
    let access = kept.access.clone();
    sessions.set(&connect.server, Some(kept))?;
    Ok(Some(access))
}

fn now() -> i64 {
    SystemClock.now().0.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn sessions_are_private_and_kept_by_platform() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/sessions.json");
        let kept = |text: &str| Kept { access: text.into(), expires: 7, refresh: "r".into() };
        Sessions::open(&path).unwrap().set("http://a", Some(kept("one"))).unwrap();
        Sessions::open(&path).unwrap().set("http://b", Some(kept("two"))).unwrap();
        let mut sessions = Sessions::open(&path).unwrap();
        assert_eq!(sessions.get("http://a"), Some(&kept("one")));
        sessions.set("http://a", None).unwrap();
        drop(sessions);
        let sessions = Sessions::open(&path).unwrap();
        assert_eq!((sessions.get("http://a"), sessions.get("http://b")), (None, Some(&kept("two"))));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
