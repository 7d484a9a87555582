//! What `imap` uses of `regex`: two expressions.
//!
//! `regex` puts automata and Unicode tables into each of our libraries that are a fifth of them. What `imap` does not use
//! is missing here, so that a version of it that needs more does not compile, or fails at the first login.

/// One of the expressions.
pub struct Regex(());

impl Regex {
    /// Fails for any other than the server's request to go on with the authentication (RFC 3501 §7.5).
    pub fn new(pattern: &str) -> Result<Self, Unknown> {
        if pattern == "^\\+ (.*)\r\n" { Ok(Self(())) } else { Err(Unknown) }
    }

    /// None or one.
    pub fn captures_iter<'a>(&self, line: &'a str) -> impl Iterator<Item = Captures<'a>> {
        let rest = line.strip_prefix("+ ").and_then(|rest| rest.split_once('\n'));
        rest.and_then(|(rest, _)| rest.strip_suffix('\r')).map(Captures).into_iter()
    }
}

/// What the group in the expression matched.
pub struct Captures<'a>(&'a str);

impl<'a> Captures<'a> {
    pub fn get(&self, group: usize) -> Option<Match<'a>> {
        (group == 1).then_some(Match(self.0))
    }
}

pub struct Match<'a>(&'a str);

impl<'a> Match<'a> {
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// An expression that is not here.
#[derive(Debug)]
pub struct Unknown;

/// `imap` compiles an expression for octets, and matches nothing with it.
pub mod bytes {
    pub struct Regex(());

    impl Regex {
        pub fn new(_pattern: &str) -> Result<Self, super::Unknown> {
            Ok(Self(()))
        }
    }
}
