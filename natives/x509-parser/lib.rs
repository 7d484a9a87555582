//! What `p12-keystore` uses of `x509-parser`, with `x509-cert`.
//!
//! `p12-keystore` reads a certificate for its subject and issuer, which we do not ask it for. Each of our libraries has
//! `x509-cert` anyway; `x509-parser` with an ASN.1 and a table of object identifiers of its own would be a twentieth of
//! them. What `p12-keystore` does not use is missing here, so that a version of it that needs more does not compile.

use x509_cert::Certificate;
use x509_cert::der::Decode;

/// What is left behind the certificate (nothing), and the certificate.
pub fn parse_x509_certificate(der: &[u8]) -> Result<(&[u8], X509Certificate), nom::Err<error::X509Error>> {
    match Certificate::from_der(der) {
        Ok(_) => Ok((&[], X509Certificate { subject: "", issuer: "" })),
        Err(error) => Err(nom::Err(error::X509Error(error))),
    }
}

/// A certificate that can be read.
pub struct X509Certificate {
    pub subject: &'static str,
    pub issuer: &'static str,
}

pub mod error {
    #[derive(Debug)]
    pub struct X509Error(pub(super) x509_cert::der::Error);

    impl std::fmt::Display for X509Error {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    impl std::error::Error for X509Error {}
}

/// The error that the parsers of `nom` give.
pub mod nom {
    #[derive(Debug)]
    pub struct Err<E>(pub(super) E);

    impl<E: std::fmt::Display> std::fmt::Display for Err<E> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    impl<E: std::error::Error> std::error::Error for Err<E> {}
}
