//! The tags of commands (RFC 9051 §2.2.1).

use ring::rand::{SecureRandom, SystemRandom};

use crate::failure::{Failure, Result};

/// Makes the tags of one connection.
///
/// A message that the server counted wrongly could look like the answer to a command. Its author does not know the prefix.
#[derive(Debug)]
pub struct Tags {
    prefix: String,
    last: u32,
}

impl Tags {
    /// Takes 64 bits from the system's random source.
    pub fn random() -> Result<Self> {
        let mut random = [0; 8];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Failure::internal("the system has no random numbers"))?;
        Ok(Self::with_prefix(format!("U{:016x}x", u64::from_ne_bytes(random))))
    }

    /// Makes tags that begin with `prefix`, which must have letters and digits only.
    pub fn with_prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), last: 0 }
    }

    /// Returns a tag that was never used on this connection.
    pub(super) fn next(&mut self) -> String {
        self.last += 1;
        self.last()
    }

    /// Returns the tag that was used last.
    pub(super) fn last(&self) -> String {
        format!("{}{}", self.prefix, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_connections_and_no_two_commands_have_the_same_tags() {
        let (mut first, mut second) = (Tags::random().unwrap(), Tags::random().unwrap());
        let tags = [first.next(), first.next(), second.next(), second.next()];
        let different: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(different.len(), 4, "{tags:?}");
        assert!(
            tags.iter().all(|tag| tag.len() > 16 && tag.bytes().all(|octet| octet.is_ascii_alphanumeric()))
        );
    }
}
