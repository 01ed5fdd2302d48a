//! TLS with a certificate from files, which may change while kura runs.

use crate::config::ServerConfig;
use anyhow::Context as _;
use rustls::ServerConfig as TlsConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// The certificate in use, and where it comes from.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What the files held: compared to see whether they changed.
#[derive(PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads the certificate that is configured; `None` when there is none.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else, or the key belongs to another certificate.
    pub(crate) fn open(config: &ServerConfig) -> anyhow::Result<Option<Arc<Self>>> {
        if !config.is_tls() {
            return Ok(None);
        }
        let (chain, key) = (config.tls_certificate.clone(), config.tls_key.clone());
        warn_of_readers(&key);
        let provider = Arc::new(ring::default_provider());
        let read = Files::read(&chain, &key)?.parse(&chain, &key, &provider)?;
        Ok(Some(Arc::new(Self {
            chain,
            key,
            provider,
            current: RwLock::new(Arc::new(read)),
        })))
    }

    /// Returns what turns connections into TLS connections. They speak HTTP/1.1.
    ///
    /// # Errors
    /// Never in practice: the provider knows both versions of TLS.
    pub(crate) fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let builder = TlsConfig::builder_with_provider(Arc::clone(&self.provider));
        let mut config = builder
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Uses changed files for new connections, until `stopping`. What cannot be used, such as a certificate whose key is
    /// still to be written, leaves the old one in use and is logged once.
    pub(crate) async fn follow(self: Arc<Self>, stopping: CancellationToken) {
        let mut seen = Files::read(&self.chain, &self.key).ok();
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let certificate = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || {
                Files::read(&certificate.chain, &certificate.key)
            });
            let Ok(read) = read.await else { return };
            let files = match read {
                Ok(files) if seen.as_ref() == Some(&files) => continue,
                Ok(files) => files,
                Err(error) => {
                    if seen.take().is_some() {
                        tracing::error!("the old certificate stays in use: {error:#}");
                    }
                    continue;
                }
            };
            match files.parse(&self.chain, &self.key, &self.provider) {
                Ok(key) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(key);
                    tracing::info!("a changed certificate is in use");
                }
                Err(error) => tracing::error!("the old certificate stays in use: {error:#}"),
            }
            seen = Some(files);
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl Files {
    fn read(chain: &Path, key: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            chain: fs_err::read(chain).context("correct `server.tls_certificate`")?,
            key: fs_err::read(key).context("correct `server.tls_key`")?,
        })
    }

    fn parse(
        &self,
        chain: &Path,
        key: &Path,
        provider: &CryptoProvider,
    ) -> anyhow::Result<CertifiedKey> {
        let certificates =
            CertificateDer::pem_slice_iter(&self.chain).collect::<Result<Vec<_>, _>>();
        let certificates = certificates
            .ok()
            .filter(|found| !found.is_empty())
            .with_context(|| format!("`{}` holds no certificates in PEM", chain.display()))?;
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .ok()
            .with_context(|| format!("`{}` holds no private key in PEM", key.display()))?;
        CertifiedKey::from_der(certificates, private, provider).with_context(|| {
            format!(
                "the key in `{}` cannot be used with the certificate in `{}`",
                key.display(),
                chain.display()
            )
        })
    }
}

/// Others on the machine may read the key of a mounted secret; whoever wants that is told.
fn warn_of_readers(key: &Path) {
    let mode = fs_err::metadata(key).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o007 != 0) {
        tracing::warn!(
            "everyone on this machine can read `server.tls_key`; `chmod o= {}` ends that",
            key.display()
        );
    }
}
