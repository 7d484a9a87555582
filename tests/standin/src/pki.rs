//! A CA and server certificates, made on the spot.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::scenario::Certificate;

pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Ok(Self { issuer: Issuer::new(params, key), certificate: der, pem })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's TLS with a certificate for `localhost` and `outlook.office365.com`, or one with the fault that is wanted.
    pub(crate) fn server(&self, certificate: Certificate) -> std::io::Result<Arc<ServerConfig>> {
        let stranger;
        let ca = match certificate {
            Certificate::UnknownIssuer => {
                stranger = Self::new("A Root That Nobody Knows").map_err(std::io::Error::other)?;
                &stranger
            }
            _ => self,
        };
        ca.sign(certificate).map_err(std::io::Error::other)
    }

    fn sign(
        &self,
        certificate: Certificate,
    ) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
        let names = match certificate {
            Certificate::OtherHost => vec!["mail.example.net".into()],
            // Microsoft's own name, too, for tests that come through a tunnel.
            _ => vec!["localhost".into(), "127.0.0.1".into(), "::1".into(), "outlook.office365.com".into()],
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "um-standin");
        let (from, until) = match certificate {
            Certificate::Expired => (-60, -1),
            Certificate::NotYetValid => (30, 60),
            _ => (-1, 30),
        };
        params.not_before = days_from_now(from).into();
        params.not_after = days_from_now(until).into();
        let key = KeyPair::generate()?;
        let chain = vec![params.signed_by(&key, &self.issuer)?.der().clone(), self.certificate.clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der())?)?;
        Ok(Arc::new(config))
    }
}

fn days_from_now(days: i64) -> SystemTime {
    let span = Duration::from_secs(days.unsigned_abs() * 86_400);
    if days < 0 { SystemTime::now() - span } else { SystemTime::now() + span }
}
