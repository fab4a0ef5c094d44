//! An authority of the platform's own, for one machine or a folder that services
//! share: made at the first start, and every service issues its own certificate.
//!
//! Whoever can read the folder can be any service, so this is for development and
//! for single machines. A cluster mounts certificates of its own authority.

use super::Material;
use super::files::certificates;
use crate::keys::write_private;
use anyhow::Context as _;
use probity_types::Micros;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

/// How long a certificate lives; it is made anew after half of that.
pub(super) const LIFE: Duration = Duration::from_hours(24);
/// How long the authority lives.
const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
/// Clocks may differ by this much.
const SKEW: Duration = Duration::from_mins(5);

/// The authority, for one service.
pub(super) struct Authority {
    dir: PathBuf,
    name: String,
}

impl Authority {
    /// Opens the authority in a folder, and makes it when there is none.
    pub(super) fn open(dir: &Path, name: String) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let authority = Self { dir: dir.to_owned(), name };
        // Services that start together must not make an authority each.
        let path = dir.join("lock");
        let lock = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        lock.lock().with_context(|| format!("{} cannot be locked", path.display()))?;
        if !authority.certificate().is_file() {
            authority.make()?;
        }
        Ok(authority)
    }

    fn certificate(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.join("ca.key")
    }

    fn make(&self) -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params(OffsetDateTime::now_utc(), AUTHORITY_LIFE).self_signed(&key)?;
        write_private(&self.key(), key.serialize_pem().as_bytes())?;
        // Last, and at once: its being there says that the key is, too.
        let (temporary, path) = (self.dir.join("ca.pem.new"), self.certificate());
        std::fs::write(&temporary, certificate.pem())
            .and_then(|()| std::fs::rename(&temporary, &path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// A new certificate of the service.
    pub(super) fn issue(&self, now: Micros) -> anyhow::Result<Material> {
        let path = self.key();
        let pem =
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let key = KeyPair::from_pem(&pem).with_context(|| format!("{} is no key in PEM", path.display()))?;
        let now = OffsetDateTime::from_unix_timestamp(now.0 / 1_000_000)?;
        let issuer = Issuer::new(params(now, AUTHORITY_LIFE), key);
        let own = KeyPair::generate()?;
        let certificate = self.leaf(now)?.signed_by(&own, &issuer)?;
        Ok(Material {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der())),
            authorities: certificates(&self.certificate())?,
        })
    }

    fn leaf(&self, now: OffsetDateTime) -> anyhow::Result<CertificateParams> {
        let mut leaf = CertificateParams::new(vec![self.name.clone()])?;
        (leaf.not_before, leaf.not_after) = (now - SKEW, now + LIFE);
        leaf.distinguished_name.push(DnType::CommonName, self.name.as_str());
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(leaf)
    }
}

/// The authority's own certificate; its name is what leaves carry as their issuer.
fn params(now: OffsetDateTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (now - SKEW, now + life);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Probity development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
