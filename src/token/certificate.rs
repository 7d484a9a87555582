//! A file with a certificate and its private key → what signs client assertions.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as Pkcs12Error;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::now;
use crate::config::{self, keys};
use crate::failure::{Failure, Kind, Result, Step};
use crate::message;
use crate::net::Readable;
use crate::text::Arg;

/// A certificate that is valid now, and its RSA key.
pub(super) struct Certified {
    key: RsaKeyPair,
    /// SHA-256 of the certificate, base64url (RFC 7515 §4.1.8).
    pub thumbprint: String,
    pub not_after: DateTime<Utc>,
}

impl Certified {
    /// Reads a PEM file (PKCS#8, also encrypted, or PKCS#1) or a PKCS#12 file.
    ///
    /// Of several certificates the one that belongs to a key in the file is taken. Whatever is wrong with the file is a
    /// configuration failure that names it.
    pub(super) fn read(file: &Path, password: Option<&SecretString>) -> Result<Self> {
        let password = password.map(ExposeSecret::expose_secret);
        let named = |flaw: Flaw| flaw.failure(file);
        let content = config::read(file, LIMIT).map_err(|error| named(Flaw::File((&error).into())))?;
        let found = if has_pem(&content) {
            Found::in_pem(&content, password)
        } else if content.first() == Some(&SEQUENCE) {
            Found::in_pkcs12(&content, password)
        } else {
            Err(Flaw::File(message!(CertificateFormat).into()))
        };
        found.and_then(|found| found.pair(now())).map_err(named)
    }

    /// PS256 (RFC 7518 §3.5).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| Failure::internal("the client assertion could not be signed"))?;
        Ok(signature)
    }

    #[cfg(test)]
    pub(super) fn public_key(&self) -> &[u8] {
        self.key.public().as_ref()
    }
}

/// What is wrong with the file.
enum Flaw {
    File(Arg),
    /// With the password, which is another property.
    Password(Arg),
}

impl Flaw {
    fn failure(self, file: &Path) -> Failure {
        let (key, problem) = match self {
            Flaw::File(problem) => (&keys::CLIENT_CERTIFICATE, problem),
            Flaw::Password(problem) => (&keys::CLIENT_CERTIFICATE_PASSWORD, problem),
        };
        let said = message!(FileFailed, path = file.display(), error = problem);
        Failure::own(Step::Configuration, Kind::Configuration, said).key(key.name)
    }
}

/// What is in a file.
#[derive(Default)]
struct Found {
    keys: Vec<Key>,
    /// DER
    certificates: Vec<Vec<u8>>,
}

enum Key {
    Pkcs8(Zeroizing<Vec<u8>>),
    /// `RSAPrivateKey` (RFC 8017 §A.1.2)
    Pkcs1(Zeroizing<Vec<u8>>),
}

impl Found {
    /// RFC 7468, with the key forms of OpenSSL beside PKCS#8.
    fn in_pem(content: &[u8], password: Option<&str>) -> std::result::Result<Self, Flaw> {
        let mut found = Self::default();
        for Section { label, der } in sections(content)? {
            match label.as_str() {
                "CERTIFICATE" => found.certificates.push(der.to_vec()),
                "PRIVATE KEY" => found.keys.push(Key::Pkcs8(der)),
                "RSA PRIVATE KEY" => found.keys.push(Key::Pkcs1(der)),
                "ENCRYPTED PRIVATE KEY" => found.keys.push(Key::Pkcs8(decrypted(&der, password)?)),
                "EC PRIVATE KEY" => return Err(not_rsa(None)),
                _ => {}
            }
        }
        Ok(found)
    }

    fn in_pkcs12(content: &[u8], password: Option<&str>) -> std::result::Result<Self, Flaw> {
        let archive = Pkcs12Archive::from_pkcs12(content, password.unwrap_or_default());
        let archive = archive.map_err(|error| match (&error, password) {
            // The MAC comes first, so it is the password that is wrong, or the file damaged.
            (Pkcs12Error::MacError(_), Some(_)) => wrong_password(),
            (Pkcs12Error::MacError(_), None) => no_password(),
            (Pkcs12Error::UnsupportedEncryptionScheme | Pkcs12Error::UnsupportedMacAlgorithm, _) => {
                Flaw::File(message!(CertificateEncryption).into())
            }
            _ => Flaw::File(message!(CertificatePkcs12, error = error.to_string()).into()),
        })?;
        let key = |bag: p12_keystore::PrivateKeyBag| Key::Pkcs8(Zeroizing::new(bag.key.as_der().to_vec()));
        Ok(Self {
            keys: archive.keys.into_iter().map(key).collect(),
            certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
        })
    }

    /// The first key to which one of the certificates belongs.
    fn pair(self, now: DateTime<Utc>) -> std::result::Result<Certified, Flaw> {
        if self.keys.is_empty() {
            return Err(Flaw::File(message!(CertificateNoKey).into()));
        }
        let mut certificates = Vec::new();
        for der in &self.certificates {
            let certificate = Certificate::from_der(der).map_err(|error| {
                Flaw::File(message!(CertificateUnreadable, error = error.to_string()).into())
            })?;
            certificates.push((der, certificate));
        }
        for key in &self.keys {
            let key = key.rsa()?;
            let of_key = certificates.iter().find(|(_, certificate)| {
                let key_info = certificate.tbs_certificate().subject_public_key_info();
                key_info.subject_public_key.raw_bytes() == key.public().as_ref()
            });
            if let Some((der, certificate)) = of_key {
                return certified(key, der, certificate, now);
            }
        }
        Err(Flaw::File(match certificates.first() {
            Some((_, certificate)) => {
                let subject = Readable(certificate.tbs_certificate().subject()).to_string();
                message!(CertificateMismatch, subject = subject).into()
            }
            None => message!(CertificateNone).into(),
        }))
    }
}

impl Key {
    fn rsa(&self) -> std::result::Result<RsaKeyPair, Flaw> {
        let pair = match self {
            Key::Pkcs1(der) => RsaKeyPair::from_der(der),
            Key::Pkcs8(der) => {
                let info = PrivateKeyInfoRef::try_from(der.as_slice())
                    .map_err(|_| Flaw::File(message!(CertificateKeyUnreadable).into()))?;
                match info.algorithm.oid.to_string().as_str() {
                    RSA_ENCRYPTION => RsaKeyPair::from_der(info.private_key.as_bytes()),
                    EC_PUBLIC_KEY => return Err(not_rsa(None)),
                    other => return Err(not_rsa(Some(other))),
                }
            }
        };
        pair.map_err(|rejected| {
            Flaw::File(match rejected.to_string().as_str() {
                "TooSmall" => message!(CertificateKeyTooSmall).into(),
                "TooLarge" => message!(CertificateKeyTooLarge).into(),
                other => message!(CertificateKeyUnusable, error = other).into(),
            })
        })
    }
}

fn certified(
    key: RsaKeyPair,
    der: &[u8],
    certificate: &Certificate,
    now: DateTime<Utc>,
) -> std::result::Result<Certified, Flaw> {
    let subject = Readable(certificate.tbs_certificate().subject()).to_string();
    let validity = certificate.tbs_certificate().validity();
    let time = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    };
    let (not_before, not_after) = (time(validity.not_before), time(validity.not_after));
    if now > not_after {
        let day = not_after.date_naive();
        return Err(Flaw::File(message!(CertificateExpired, subject = subject, day = day).into()));
    }
    if now < not_before {
        let day = not_before.date_naive();
        return Err(Flaw::File(message!(CertificateNotYetValid, subject = subject, day = day).into()));
    }
    Ok(Certified { key, thumbprint: BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, der)), not_after })
}

fn decrypted(der: &[u8], password: Option<&str>) -> std::result::Result<Zeroizing<Vec<u8>>, Flaw> {
    use pkcs8::Error as E;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|error| {
        Flaw::File(message!(CertificateKeyEncryptedUnreadable, error = error.to_string()).into())
    })?;
    let document = encrypted.decrypt(password.ok_or_else(no_password)?).map_err(|error| match error {
        E::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::NoPbes1CryptSupport | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. },
        ) => Flaw::File(message!(CertificateKeyEncryption, error = error.to_string()).into()),
        // With a wrong password the padding is right by chance now and then, and what comes out is no key.
        _ => wrong_password(),
    })?;
    Ok(Zeroizing::new(document.as_bytes().to_vec()))
}

struct Section {
    label: String,
    der: Zeroizing<Vec<u8>>,
}

fn has_pem(content: &[u8]) -> bool {
    content.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN.as_bytes())
}

/// The sections of a PEM file; what stands between them (`Bag Attributes` and the like) is left out.
fn sections(content: &[u8]) -> std::result::Result<Vec<Section>, Flaw> {
    let text = Zeroizing::new(String::from_utf8_lossy(content).into_owned());
    let mut sections = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
        loop {
            let line =
                lines.next().ok_or_else(|| Flaw::File(message!(CertificateNoEnd, label = label).into()))?;
            if line == end {
                break;
            }
            if line.starts_with("Proc-Type:") {
                return Err(Flaw::File(message!(CertificateKeyEncryptionOld).into()));
            }
            base64.push_str(line);
        }
        let der = BASE64_STANDARD
            .decode(base64.as_bytes())
            .map_err(|_| Flaw::File(message!(CertificateNotBase64, label = label).into()))?;
        sections.push(Section { label: label.to_owned(), der: Zeroizing::new(der) });
    }
    Ok(sections)
}

/// For a key of this type, or an EC key.
fn not_rsa(r#type: Option<&str>) -> Flaw {
    Flaw::File(match r#type {
        Some(r#type) => message!(CertificateKeyType, name = r#type).into(),
        None => message!(CertificateKeyEc).into(),
    })
}

fn wrong_password() -> Flaw {
    Flaw::Password(message!(CertificatePasswordWrong).into())
}

fn no_password() -> Flaw {
    Flaw::Password(message!(CertificatePasswordMissing).into())
}

/// Octets of the file: a key and a chain of certificates have some ten thousand.
const LIMIT: u64 = 1 << 20;

const PEM_BEGIN: &str = "-----BEGIN ";
/// What DER of a PKCS#12 file begins with.
const SEQUENCE: u8 = 0x30;
/// RFC 8017 §A.1
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
/// RFC 5480 §2.1.1
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;
    use crate::failure::Retry;

    /// That of `fixtures/make`.
    const PASSWORD: &str = "p4ss Pl4nted ß";

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/token/fixtures").join(name)
    }

    fn read(name: &str, password: &str) -> Result<Certified> {
        let password = (!password.is_empty()).then(|| SecretString::from(password));
        Certified::read(&fixture(name), password.as_ref())
    }

    #[test]
    fn every_form_of_the_same_certificate_and_key_signs() {
        let mut thumbprints = Vec::new();
        for name in ["pkcs8.pem", "pkcs1.pem", "encrypted.pem", "aes.pfx", "3des.pfx", "rc2.pfx"] {
            let certified = read(name, PASSWORD).unwrap_or_else(|failure| panic!("{failure}"));
            let signature = certified.sign(b"a message").unwrap();
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, certified.public_key())
                .verify(b"a message", &signature)
                .unwrap();
            assert_eq!(certified.not_after.format("%Y").to_string(), "2126", "{name}");
            thumbprints.push(certified.thumbprint);
        }
        thumbprints.dedup();
        // openssl x509 -in certificate.pem -outform der | openssl dgst -sha256 -binary | basenc --base64url
        assert_eq!(thumbprints, [include_str!("fixtures/thumbprint").trim()]);
    }

    #[test]
    fn whatever_is_wrong_with_a_certificate_has_its_own_words() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let empty = empty.path().to_str().unwrap();
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(1_500_000_000).unwrap();
        let large = large.path().to_str().unwrap();
        for (name, password, key, observed) in [
            ("small.pem", "", "", "its RSA key is too small: it has fewer than 2048 bits"),
            ("ec.pem", "", "", "its private key is an EC key, not an RSA key"),
            ("ec-sec1.pem", "", "", "its private key is an EC key, not an RSA key"),
            ("encrypted.pem", "wrong Pl4nted", "Password", "the password is wrong"),
            ("encrypted.pem", "", "Password", "the private key is encrypted, and no password is set"),
            ("aes.pfx", "wrong Pl4nted", "Password", "the password is wrong"),
            ("3des.pfx", "wrong Pl4nted", "Password", "the password is wrong"),
            ("3des.pfx", "", "Password", "the private key is encrypted, and no password is set"),
            (
                "encrypted-pkcs1.pem",
                PASSWORD,
                "",
                "its private key is encrypted in a way that is not supported: the old form of OpenSSL",
            ),
            ("other-key.pem", "", "", "the certificate 'CN=client' does not belong to the private key in it"),
            ("expired.pem", "", "", "the certificate 'CN=expired' expired on 2020-02-29"),
            ("future.pem", "", "", "the certificate 'CN=expired' is not valid before 2120-01-01"),
            ("certificate.pem", "", "", "it contains no private key"),
            ("key.pem", "", "", "it contains no certificate"),
            ("make", "", "", "it is neither a PEM nor a PKCS#12 file"),
            (empty, "", "", "it is neither a PEM nor a PKCS#12 file"),
            ("none.pem", "", "", "No such file or directory (os error 2)"),
            ("/dev/zero", "", "", "it is not a regular file"),
            (large, "", "", "it is larger than 1048576 bytes"),
        ] {
            let Err(failure) = read(name, password) else { panic!("{name} was taken") };
            assert_eq!(failure.observed, format!("{}: {observed}", fixture(name).display()));
            assert_eq!(failure.key, Some(format!("cmsbs.mail.imap.oauth2.clientCertificate{key}")));
            assert_eq!(
                (failure.step, failure.kind, failure.retry),
                (Step::Configuration, Kind::Configuration, Retry::Never)
            );
            assert!(!format!("{failure:?}").contains("Pl4nted"), "{failure:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_without_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("damaged");
        for name in ["pkcs8.pem", "aes.pfx", "3des.pfx"] {
            let whole = fs::read(fixture(name)).unwrap();
            for length in (1..whole.len()).step_by(97) {
                fs::write(&file, &whole[..length]).unwrap();
                assert!(Certified::read(&file, Some(&PASSWORD.into())).is_err(), "{name} {length}");
            }
        }
    }
}
