//! A certificate's subject or issuer, in the words of RFC 4514.

use std::fmt;

use x509_cert::der::{Tag, Tagged};
use x509_cert::name::Name;

/// `CN=Example CA,O=Example,C=DE`.
///
/// `x509-cert` can write it, too, with a table of all object identifiers that is as large as the rest of it.
pub(crate) struct Readable<'a>(pub &'a Name);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // §2.1: the last comes first.
        let names: Vec<_> = self.0.iter_rdn().collect();
        for (number, name) in names.into_iter().rev().enumerate() {
            for (place, attribute) in name.iter().enumerate() {
                let before = match (number, place) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                };
                let oid = attribute.oid.to_string();
                let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid);
                let keyword = keyword.map_or(oid.as_str(), |(_, keyword)| keyword);
                let value = text(attribute.value.tag(), attribute.value.value());
                write!(f, "{before}{keyword}=")?;
                for c in value.chars() {
                    match c {
                        // A peer's certificate writes no lines of its own into a message.
                        c if c.is_ascii_control() => write!(f, "\\{:02x}", u32::from(c))?,
                        c if ESCAPED.contains(c) => write!(f, "\\{c}")?,
                        c => write!(f, "{c}")?,
                    }
                }
            }
        }
        Ok(())
    }
}

fn text(tag: Tag, octets: &[u8]) -> String {
    if tag == Tag::BmpString {
        let units: Vec<u16> = octets.as_chunks().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(octets).into_owned()
    }
}

/// §3, and what else stands in certificates.
const KEYWORDS: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// §2.4
const ESCAPED: &str = "\"+,;<>\\";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};
    use x509_cert::Certificate;
    use x509_cert::der::Decode;

    use super::*;

    #[test]
    fn a_name_is_written_as_rfc_4514_wants_it() {
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, DnValue::BmpString("Müller, Söhne".try_into().unwrap()));
        name.push(DnType::CustomDnType(vec![1, 2, 3, 4]), "other");
        name.push(DnType::CommonName, "Größe + Co\n");
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let certificate = Certificate::from_der(&der).unwrap();
        assert_eq!(
            Readable(certificate.tbs_certificate().subject()).to_string(),
            "CN=Größe \\+ Co\\0a,1.2.3.4=other,O=Müller\\, Söhne,C=DE"
        );
    }
}
