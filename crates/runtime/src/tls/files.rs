//! Certificates from files, as a cluster mounts them.

use super::Material;
use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

/// Where the parts are, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) authority: PathBuf,
}

/// Certificates in files.
pub(super) struct Files(Paths);

impl Files {
    pub(super) const fn new(paths: Paths) -> Self {
        Self(paths)
    }

    /// Reads all of them.
    pub(super) fn load(&self) -> anyhow::Result<Material> {
        let key = &self.0.key;
        Ok(Material {
            chain: certificates(&self.0.certificate)?,
            key: PrivateKeyDer::from_pem_file(key)
                .with_context(|| format!("{} is no private key in PEM", key.display()))?,
            authorities: certificates(&self.0.authority)?,
        })
    }
}

pub(super) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.with_context(|| format!("{} cannot be read as certificates in PEM", path.display()))?;
    anyhow::ensure!(!found.is_empty(), "{} has no certificate in it", path.display());
    Ok(found)
}
