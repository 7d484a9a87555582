//! Whose certificates are accepted, and in plain words why one is not.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use once_cell::sync::OnceCell;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError,
    ProtocolVersion, RootCertStore, SignatureScheme, crypto, version,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::name::Readable;
use crate::config;
use crate::failure::{Failure, Kind, Result, Step};
use crate::message;
use crate::text::{Arg, Message, Said};

/// The certificate authorities that the connections of a mailbox trust. Clones share it.
///
/// TLS 1.2 or newer; name, validity and chain of the peer's certificate are always checked.
#[derive(Clone)]
pub struct Trust {
    parts: Arc<Parts>,
}

struct Parts {
    /// What is in the file.
    file: RootCertStore,
    anchors: Box<dyn Fn() -> Result<Anchors> + Send + Sync>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    /// Trusts `anchors`, and what is in `ca_file` (PEM) too.
    ///
    /// Fails when the file cannot be read, holds no certificate or one that cannot be used, and when nobody is trusted at all.
    pub fn new(anchors: Anchors, ca_file: Option<&Path>) -> Result<Self> {
        let trust = Self::later(move || Ok(anchors.clone()), ca_file)?;
        trust.client_config()?;
        Ok(trust)
    }

    /// The same where nobody is asked for the anchors before the first connection; what is wrong with them ends that.
    pub fn later(
        anchors: impl Fn() -> Result<Anchors> + Send + Sync + 'static,
        ca_file: Option<&Path>,
    ) -> Result<Self> {
        let mut file = RootCertStore::empty();
        if let Some(path) = ca_file {
            add_file(&mut file, path)?;
        }
        let parts = Parts { file, anchors: Box::new(anchors), config: OnceCell::new() };
        Ok(Self { parts: Arc::new(parts) })
    }

    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>> {
        self.parts.config.get_or_try_init(|| self.parts.client_config()).cloned()
    }
}

impl Parts {
    fn client_config(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = (self.anchors)()?.0;
        roots.extend(self.file.roots.iter().cloned());
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| {
                // Only a JVM can have none.
                configuration(
                    message!(TrustNothing, error = error.to_string()),
                    message!(TrustNothingRemedy, key = CA_FILE),
                )
            })?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(Failure::internal)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Explaining { verifier }))
            .with_no_client_auth();
        // What a session ticket resumes was verified in an earlier connection, and a certificate that has expired since is not
        // looked at again; there are few connections, so nothing is lost without.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// Where trust begins.
#[derive(Debug, Clone)]
pub struct Anchors(RootCertStore);

impl Anchors {
    /// The platform's certificate authorities; where it has none, Mozilla's as of this build.
    pub fn platform() -> Self {
        let mut roots = RootCertStore::empty();
        // Single unreadable files are no reason to do without the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Self(roots)
    }

    /// These, as a JVM's trust manager names its accepted issuers. One that is no usable anchor is left out.
    pub fn given(issuers: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(issuers);
        Self(roots)
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<()> {
    let refused = |problem: Arg| {
        let said = message!(FileFailed, path = path.display(), error = problem);
        configuration(said, message!(TrustFileRemedy))
    };
    let pem = config::read(path, CA_FILE_LIMIT).map_err(|error| refused((&error).into()))?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        count += 1;
        let unusable = |error: String| {
            refused(message!(TrustFileCertificate, number = count.to_string(), error = error).into())
        };
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if count == 0 { Err(refused(message!(TrustFileEmpty).into())) } else { Ok(()) }
}

fn configuration(said: Message, remedy: Message) -> Failure {
    Failure::own(Step::Configuration, Kind::Configuration, said).key(CA_FILE).advised(remedy)
}

/// What is to be seen of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `TLS 1.3`
    pub version: String,
    /// Who issued the server's certificate, as it says: a proxy that looks into connections shows here.
    pub issuer: Option<String>,
    /// The certificate's last day, in UTC.
    pub last_day: Option<NaiveDate>,
}

impl Seen {
    pub(super) fn of(connection: &ClientConnection) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            other => format!("{other:?}"),
        };
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.and_then(|der| Certificate::from_der(der).ok());
        let last_day = leaf.as_ref().and_then(|leaf| {
            let end = leaf.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
            DateTime::from_timestamp(i64::try_from(end).ok()?, 0).map(|end| end.date_naive())
        });
        Self {
            version,
            issuer: leaf.map(|leaf| Readable(leaf.tbs_certificate().issuer()).to_string()),
            last_day,
        }
    }
}

/// The verdict is webpki's alone; only the words for a refusal are added, while the certificates are at hand.
#[derive(Debug)]
struct Explaining {
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map_err(
            |error| match error {
                Error::InvalidCertificate(problem) => {
                    let distrust = Distrust::said(&problem, end_entity, intermediates, server_name);
                    CertificateError::Other(OtherError(Arc::new(distrust))).into()
                }
                other => other,
            },
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Makes the [`Said`] why a peer's certificate was refused; it continues "the certificate of HOST …".
pub(super) struct Distrust;

impl Distrust {
    /// Returns the sentence that [`Explaining`] put into an error of rustls.
    pub(super) fn of(problem: &CertificateError) -> Option<&Said> {
        match problem {
            CertificateError::Other(OtherError(words)) => words.downcast_ref(),
            _ => None,
        }
    }

    fn said(
        problem: &CertificateError,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
    ) -> Said {
        use CertificateError as E;
        let leaf = Certificate::from_der(end_entity).ok();
        Said(match (problem, leaf) {
            (E::UnknownIssuer, Some(leaf)) => unknown_issuer(leaf, intermediates),
            (E::NotValidForNameContext { presented, .. }, _) => {
                message!(DistrustName, names = names(presented), host = &*server_name.to_str())
            }
            (E::ExpiredContext { not_after, .. }, Some(leaf)) => {
                let own_end = leaf.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
                match own_end == not_after.as_secs() {
                    true => message!(DistrustExpired, day = day(not_after)),
                    false => message!(DistrustIssuerExpired, day = day(not_after)),
                }
            }
            (E::NotValidYetContext { not_before, .. }, _) => {
                message!(DistrustNotYetValid, day = day(not_before))
            }
            (E::BadSignature, Some(leaf)) => {
                let issuer = Readable(leaf.tbs_certificate().issuer()).to_string();
                message!(DistrustSignature, issuer = issuer)
            }
            // What `openssl req -x509` makes by default. The verifier's own error has no public type.
            (problem, Some(leaf)) if problem.to_string().contains("CaUsedAsEndEntity") => {
                let subject = Readable(leaf.tbs_certificate().subject()).to_string();
                message!(DistrustAuthority, subject = subject)
            }
            (problem, _) => message!(DistrustOther, problem = problem.to_string()),
        })
    }
}

/// Follows the chain as far as the peer sent it: the last issuer is the one to trust.
fn unknown_issuer(leaf: Certificate, intermediates: &[CertificateDer<'_>]) -> Message {
    if leaf.tbs_certificate().issuer() == leaf.tbs_certificate().subject() {
        let subject = Readable(leaf.tbs_certificate().subject()).to_string();
        return message!(DistrustSelfSigned, subject = subject);
    }
    let mut chain: Vec<_> = intermediates.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let mut last = leaf;
    while let Some(issuer) =
        chain.iter().position(|next| next.tbs_certificate().subject() == last.tbs_certificate().issuer())
    {
        last = chain.swap_remove(issuer);
    }
    message!(DistrustIssuer, issuer = Readable(last.tbs_certificate().issuer()).to_string())
}

/// webpki writes `DnsName("other.example")` and `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> Arg {
    let name = |written: &String| {
        let inner = written.split_once('(').map_or(written.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    match presented {
        [] => message!(DistrustNoName).into(),
        [only] => name(only).into(),
        [first @ .., last] if presented.len() <= NAMES_SHOWN => {
            let first: Vec<_> = first.iter().map(name).collect();
            message!(NamesAnd, names = first.join(", "), last = name(last)).into()
        }
        _ => {
            let shown: Vec<_> = presented.iter().take(NAMES_SHOWN).map(name).collect();
            message!(NamesMore, names = shown.join(", "), more = presented.len() - NAMES_SHOWN).into()
        }
    }
}

fn day(time: &UnixTime) -> Arg {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map_or_else(|| Arg::from(time.as_secs()), |time| time.date_naive().into())
}

const CA_FILE: &str = "cmsbs.mail.imap.ssl.caFile";

/// Octets. All public authorities together have some 220,000.
const CA_FILE_LIMIT: u64 = 16 << 20;

/// Certificates with hundreds of names exist; a message needs a few.
const NAMES_SHOWN: usize = 5;
