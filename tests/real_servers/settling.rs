//! What becomes of a mail that is settled.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use um_imap_oauth2::failure::Kind;
use um_imap_oauth2::log::Level;
use um_imap_oauth2::mailbox::{MessageId, Outcome};

use crate::support::outcomes::{lands, with_folders};
use crate::support::{Account, Mail, as_served, corpus, mails};

#[test]
fn the_first_settlement_of_a_mail_counts() {
    let account = Account::new().with_mails(&mails(3));
    let mailbox = account.open();
    let read = mailbox.read();
    assert!(mailbox.settle(read[0].id, Outcome::Keep).unwrap());
    assert!(mailbox.settle(read[1].id, Outcome::Handled).unwrap());
    assert!(mailbox.move_to(read[2].id, "elsewhere").unwrap());
    for mail in &read {
        assert!(!mailbox.settle(mail.id, Outcome::Spam).unwrap());
        assert!(!mailbox.move_to(mail.id, "nowhere").unwrap());
        assert!(!mailbox.delete(mail.id).unwrap());
    }
    mailbox.flush().unwrap();
    assert!(!mailbox.settle(read[1].id, Outcome::Keep).unwrap(), "also when the server has done it");
    assert_eq!(account.folders(), held(&[("", &[&read[0]]), (".elsewhere", &[&read[2]])]));
}

#[test]
fn a_mail_of_another_time_or_place_is_refused() {
    let account = Account::new().with_mails(&mails(1));
    let mailbox = account.open();
    let id = mailbox.read()[0].id;
    let stale = MessageId { uid_validity: id.uid_validity.wrapping_add(1), ..id };
    assert_eq!(mailbox.settle(stale, Outcome::Handled).unwrap_err().kind, Kind::Stale);
    let unknown = MessageId { uid: 1000, ..id };
    assert_eq!(mailbox.delete(unknown).unwrap_err().kind, Kind::Usage);
    mailbox.flush().unwrap();
    assert_eq!(account.on_disk("").len(), 1);
}

#[test]
fn with_debug_handled_mail_goes_to_the_folder_of_its_kind_else_to_the_debug_folder() {
    let account = with_folders(Account::new()).with("cmsbs.bounce.debug", "true");
    lands(account, |outcome| match outcome {
        Outcome::HardBounce => Some(".bounces.hard"),
        Outcome::Spam => Some(".Sp&AOQ-m"),
        Outcome::SoftBounce | Outcome::AutoRespond | Outcome::Unsubscribe | Outcome::Handled => {
            Some(".Handled")
        }
        Outcome::Unrecognised => Some(".Unknown"),
        Outcome::Keep | Outcome::KeepRead => Some(""),
    });
}

#[test]
fn with_debug_and_a_folder_for_each_kind_each_is_used() {
    let account = Account::new().with("cmsbs.bounce.debug", "true");
    let account = ["hardbounce", "softbounce", "autorespond", "unsubscribe", "spam"]
        .iter()
        .fold(account, |account, kind| {
            account.with(&format!("cmsbs.mail.imap.folder.{kind}"), &format!("kinds.{kind}"))
        });
    lands(account, |outcome| match outcome {
        Outcome::HardBounce => Some(".kinds.hardbounce"),
        Outcome::SoftBounce => Some(".kinds.softbounce"),
        Outcome::AutoRespond => Some(".kinds.autorespond"),
        Outcome::Unsubscribe => Some(".kinds.unsubscribe"),
        Outcome::Spam => Some(".kinds.spam"),
        Outcome::Handled => Some(".debug"),
        Outcome::Unrecognised => Some(".error"),
        Outcome::Keep | Outcome::KeepRead => Some(""),
    });
}

#[test]
fn without_debug_handled_mail_is_deleted_whatever_folders_are_named() {
    for debug in [None, Some("false")] {
        let mut account = with_folders(Account::new());
        if let Some(debug) = debug {
            account = account.with("cmsbs.bounce.debug", debug);
        }
        lands(account, |outcome| match outcome {
            Outcome::Unrecognised => Some(".Unknown"),
            Outcome::Keep | Outcome::KeepRead => Some(""),
            _ => None,
        });
    }
}

#[test]
fn that_handled_mail_will_be_deleted_is_said_once() {
    let account = Account::new().with_mails(&mails(3));
    let mailbox = account.open();
    for _ in 0..2 {
        mailbox.settle_all(|_| Outcome::Handled);
    }
    let records = mailbox.log.take();
    let said = records.iter().filter(|record| record.text.contains("cmsbs.bounce.debug"));
    assert_eq!(said.map(|record| record.level).collect::<Vec<_>>(), [Level::Info]);

    drop(mailbox);
    let mailbox = account.with("cmsbs.bounce.debug", "true").open();
    mailbox.read();
    let said = mailbox.said();
    assert!(!said.iter().any(|text| text.contains("deleted")), "{said:?}");
}

#[test]
fn what_others_marked_as_deleted_is_never_expunged() {
    for dialect in [None, Some("NO_MOVE"), Some("NO_UIDPLUS")] {
        let account = dialect.map_or_else(Account::new, Account::speaking);
        account.fill("", Some("T"), &["Subject: theirs\r\n\r\n"]);
        account.fill("", None, &mails(4));
        let mailbox = account.open();
        mailbox.settle_all(
            |mail| {
                if mail.id.uid % 2 == 0 { Outcome::Handled } else { Outcome::Unrecognised }
            },
        );
        mailbox.close();
        let left = account.on_disk("");
        assert!(left.iter().any(|mail| mail.octets.starts_with(b"Subject: theirs")), "{dialect:?}");
        assert_eq!(account.on_disk(".error").len(), 2, "{dialect:?}");
    }
}

#[test]
fn the_server_is_told_within_a_second_or_so_without_being_flushed() {
    let account = Account::new().with_mails(&mails(2));
    let mailbox = account.open();
    let fetch = mailbox.fetch().unwrap();
    let mail = mailbox.one_of(fetch).unwrap();
    mailbox.settle(mail.id, Outcome::Handled).unwrap();
    wait_until(Duration::from_secs(5), || account.on_disk("").len() == 1);
}

#[test]
fn closing_tells_the_server_what_was_decided() {
    let account = Account::new().with_mails(&mails(700));
    let mailbox = account.open();
    for mail in mailbox.read() {
        mailbox
            .settle(mail.id, if mail.id.uid % 2 == 0 { Outcome::Handled } else { Outcome::Unrecognised })
            .unwrap();
    }
    mailbox.close();
    assert_eq!(account.on_disk("").len(), 0);
    assert_eq!(account.on_disk(".error").len(), 350);
    assert_eq!(mailbox.warnings(), [""; 0]);
}

#[test]
fn the_whole_corpus_is_moved_octet_for_octet() {
    let mails = corpus();
    let account = Account::new().with("cmsbs.bounce.debug", "true").with_mails(&mails);
    let mailbox = account.open();
    mailbox.settle_all(|mail| if mail.id.uid % 3 == 0 { Outcome::Unrecognised } else { Outcome::HardBounce });
    let mut expected: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (number, mail) in mails.iter().enumerate() {
        let folder = if (number + 1) % 3 == 0 { ".error" } else { ".debug" };
        expected.entry(folder.to_owned()).or_default().push(as_served(mail));
    }
    expected.values_mut().for_each(|mails| mails.sort());
    assert!(account.folders() == expected, "a folder does not hold what it should");
}

#[test]
fn a_mail_can_be_moved_to_any_folder_and_deleted_by_hand() {
    let account = Account::new().with_mails(&mails(4));
    let mailbox = account.open();
    let read = mailbox.read();
    assert!(mailbox.move_to(read[0].id, "by hand.geprüft").unwrap());
    assert!(mailbox.delete(read[1].id).unwrap());
    for inbox in ["INBOX", "inbox", " "] {
        let failure = mailbox.move_to(read[2].id, inbox).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage, "{failure}");
    }
    mailbox.flush().unwrap();
    assert_eq!(
        account.folders(),
        held(&[(".by hand.gepr&APw-ft", &[&read[0]]), ("", &[&read[2], &read[3]])])
    );
}

fn held(folders: &[(&str, &[&Mail])]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let sorted = |mails: &[&Mail]| {
        let mut mails: Vec<_> = mails.iter().map(|mail| mail.octets.clone()).collect();
        mails.sort();
        mails
    };
    folders.iter().map(|(folder, mails)| (folder.to_string(), sorted(mails))).collect()
}

#[track_caller]
fn wait_until(limit: Duration, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < limit, "not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
