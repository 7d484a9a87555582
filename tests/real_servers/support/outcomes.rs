//! Settles mail by every outcome, and looks where it is then.

use std::collections::BTreeMap;

use um_imap_oauth2::mailbox::Outcome;

use super::{Account, Mail, OnDisk};

/// Settles a mail by each outcome, and compares what lies in which folder on disk with `folder`. Nothing comes again but
/// what was kept.
#[track_caller]
pub fn lands(account: Account, folder: fn(Outcome) -> Option<&'static str>) {
    lands_beside(account, &[], folder);
}

/// The same in an inbox that has other mails in it, which stay as they are.
#[track_caller]
pub fn lands_beside(account: Account, others: &[OnDisk], folder: fn(Outcome) -> Option<&'static str>) {
    // Several of each, so that batches are in play.
    let subject =
        |outcome: Outcome, number| format!("Subject: {} {number}\r\n\r\n", outcome.name()).into_bytes();
    let mut mails = Vec::new();
    let mut expected: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for other in others {
        expected.entry(String::new()).or_default().push(other.served());
    }
    for number in 0..3 {
        for outcome in Outcome::ALL {
            mails.push(subject(outcome, number));
            if let Some(folder) = folder(outcome) {
                expected.entry(folder.to_owned()).or_default().push(subject(outcome, number));
            }
        }
    }
    expected.values_mut().for_each(|mails| mails.sort());
    let account = account.with_mails(&mails);
    let mailbox = account.open();
    let outcome_of = |mail: &Mail| {
        let names = |outcome: &Outcome| (0..3).any(|number| mail.octets == subject(*outcome, number));
        Outcome::ALL.into_iter().find(names).expect("a mail of this test")
    };
    mailbox.settle_all(outcome_of);
    let found = account.folders();
    assert_eq!(readable(&found), readable(&expected));
    assert_eq!(mailbox.warnings(), [""; 0]);

    let again = mailbox.read();
    assert_eq!(again.len(), 3, "{again:?}");
    assert!(
        again
            .iter()
            .all(|mail| outcome_of(mail) == Outcome::Keep && mail.flags.iter().all(|flag| flag != "\\Seen"))
    );
    let seen = account.on_disk("").into_iter().filter(|mail| mail.flags.contains('S'));
    assert!(seen.map(|mail| mail.octets).eq((0..3).map(|number| subject(Outcome::KeepRead, number))));
    for other in others {
        assert!(account.on_disk("").contains(other), "{other:?}");
    }
}

pub fn without_debug(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Unrecognised => Some(".error"),
        Outcome::Keep | Outcome::KeepRead => Some(""),
        _ => None,
    }
}

/// Two kinds with folders of their own, and other names for the common ones.
pub fn with_folders(account: Account) -> Account {
    account
        .with("cmsbs.mail.imap.folder.debug", "Handled")
        .with("cmsbs.mail.imap.folder.error", "Unknown")
        .with("cmsbs.mail.imap.folder.hardbounce", "bounces.hard")
        .with("cmsbs.mail.imap.folder.spam", "Späm")
}

fn readable(folders: &BTreeMap<String, Vec<Vec<u8>>>) -> Vec<(&str, Vec<String>)> {
    let text = |mail: &Vec<u8>| String::from_utf8_lossy(mail).trim().to_owned();
    folders.iter().map(|(folder, mails)| (folder.as_str(), mails.iter().map(text).collect())).collect()
}
