//! The first administrator: a token in a file only its owner can read, so that
//! there is no default password anywhere.

use crate::config::Config;
use crate::domain::token::Grant;
use crate::identity::keeper::Keeper;
use crate::store::Store;
use anyhow::Context as _;
use probity_types::{AuditEvent, Ctx, Micros, Role, Roles};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// Who the token is for.
const ACTOR: &str = "users/admin";
/// How long it lasts.
const TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// A token with less left is replaced at the next start.
const RENEW_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// Writes the administrator's token where the configuration says, unless a good
/// one is there.
///
/// # Errors
/// When the file cannot be written or the issue cannot be recorded.
pub(crate) async fn ensure(
    config: &Config,
    keeper: &Keeper,
    store: &Store,
    now: Micros,
) -> anyhow::Result<()> {
    let Some(path) = config.admin_token_file.as_deref() else { return Ok(()) };
    if is_good(path, keeper, now) {
        return Ok(());
    }
    let grant = Grant {
        actor: ACTOR.to_owned(),
        tenant: config.home_tenant.clone(),
        roles: Roles::new([Role::Admin]),
        ttl: TTL,
        session: None,
    };
    let issued = keeper.known().ring.signer(now).issue(&grant, now)?;
    let ctx = Ctx::service("gateway", &config.home_tenant, "");
    let detail = json!({"token_id": issued.id, "roles": ["admin"], "expires": issued.expires.to_string()});
    let event = AuditEvent::new(&ctx, now, "auth.token_issued", ACTOR).with_detail(&detail);
    store.record(vec![event]).await.context("the administrator's token cannot be recorded")?;
    write(path, &issued.token)
        .with_context(|| format!("the administrator's token cannot be written to {}", path.display()))?;
    tracing::info!(path = %path.display(), "administrator token written");
    Ok(())
}

/// A token of ours that lasts a while, in a file nobody else can read.
fn is_good(path: &Path, keeper: &Keeper, now: Micros) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let private = fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 == 0);
    let token = fs::read_to_string(path).unwrap_or_default();
    let later = now.plus(RENEW_BEFORE);
    private && keeper.verify(token.trim(), later).is_ok_and(|p| p.roles.has(Role::Admin) && p.expires > later)
}

/// Whole or not at all, and never readable by others, not even for a moment.
fn write(path: &Path, token: &str) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("new.{}", std::process::id()));
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoginConfig;
    use crate::store::MIGRATIONS;
    use ed25519_dalek::SigningKey;
    use probity_storage::{Db, DbConfig};
    use probity_types::ManualClock;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    async fn keeper(dir: &Path, seed: u8) -> Keeper {
        let url = format!("sqlite:{}", dir.join(format!("{seed}.db")).display());
        let db =
            Db::open(&DbConfig { url, ..DbConfig::default() }, "gateway", MIGRATIONS).await.expect("store");
        let clock = Arc::new(ManualClock::at(Micros(0)));
        let key = SigningKey::from_bytes(&[seed; 32]);
        Keeper::open(Store::new(db), key, clock, &LoginConfig::default()).await.expect("keys")
    }

    fn token(keeper: &Keeper, role: Role, ttl: Duration) -> String {
        let (actor, tenant) = (ACTOR.to_owned(), "default".to_owned());
        let grant = Grant { actor, tenant, roles: Roles::new([role]), ttl, session: None };
        keeper.known().ring.signer(Micros(0)).issue(&grant, Micros(0)).expect("issued").token
    }

    #[tokio::test]
    async fn only_a_private_lasting_token_of_ours_is_kept() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("deep/token");
        let (ours, others) = (keeper(dir.path(), 1).await, keeper(dir.path(), 2).await);
        let check = |text: &str, mode: u32, expect: bool| {
            write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
            assert_eq!(is_good(&path, &ours, Micros(0)), expect, "{text:.20} {mode:o}");
        };
        assert!(!is_good(&path, &ours, Micros(0)), "no file");
        check(&token(&ours, Role::Admin, TTL), 0o600, true);
        check(&token(&ours, Role::Admin, TTL), 0o644, false);
        check(&token(&ours, Role::Admin, RENEW_BEFORE), 0o600, false);
        check(&token(&ours, Role::Officer, TTL), 0o600, false);
        check("nonsense", 0o600, false);
        check(&token(&others, Role::Admin, TTL), 0o600, false);
    }

    #[test]
    fn a_written_file_is_private() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("token");
        fs::write(&path, "old").expect("old");
        write(&path, "new").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new\n");
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
    }
}
