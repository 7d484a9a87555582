//! What is fetched, and what a fetch leaves behind.

use std::collections::BTreeSet;

use um_imap_oauth2::failure::{Kind, Step};
use um_imap_oauth2::mailbox::{Access, MessageId, Outcome};

use crate::support::{self, Account, as_served, corpus, mails, server, tree};

#[test]
fn every_octet_arrives_as_it_lies_on_the_servers_disk() {
    let mails = corpus();
    eprintln!("{} mails, real bounces: {:?}", mails.len(), std::env::var("UM_TEST_REAL_BOUNCES").ok());
    let account = Account::new().with_mails(&mails);
    let read = account.open().read();
    let mut read = read;
    read.sort_by_key(|mail| mail.id.uid);
    assert_eq!(read.len(), mails.len());
    for (number, (mail, on_disk)) in read.iter().zip(&mails).enumerate() {
        assert!(mail.octets == as_served(on_disk), "mail {number} differs");
        assert_eq!(mail.id, MessageId { uid: number as u32 + 1, ..read[0].id });
        assert_eq!(mail.received, Some((support::FIRST_TIME as i64 + number as i64) * 1000));
        assert!(!mail.flags.contains(&"\\Seen".to_owned()), "{:?}", mail.flags);
    }
}

#[test]
fn a_mail_larger_than_the_budget_arrives_whole_by_a_file() {
    let large: Vec<u8> =
        (0..3 << 20).map(|n: u32| b'a' + (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect();
    let account = Account::new().with("cmsbs.mail.imap.fetch.buffer", "1M").with_mails(&[
        b"Subject: small\r\n\r\n".as_slice(),
        &large,
        b"Subject: last\r\n\r\n",
    ]);
    let read = account.open().read();
    let octets: BTreeSet<_> = read.iter().map(|mail| mail.octets.len()).collect();
    assert_eq!(octets, [17, 18, large.len()].into());
    assert!(read.iter().any(|mail| mail.in_file && mail.octets == large));
}

#[test]
fn fetching_marks_nothing_as_read_and_moves_nothing() {
    let account = Account::new().with_mails(&mails(30));
    account.open().read();
    let on_disk = account.on_disk("");
    assert_eq!(on_disk.len(), 30);
    assert!(on_disk.iter().all(|mail| !mail.flags.contains('S')), "{on_disk:?}");
    assert_eq!(account.folders().len(), 1);
}

#[test]
fn only_unread_mail_is_read_unless_all_of_it_is_to_be() {
    let account = Account::new().with_mails(&mails(2));
    account.fill("", Some("S"), &["Subject: read\r\n\r\n"]);
    account.fill("", Some("FS"), &["Subject: flagged and read\r\n\r\n"]);
    account.fill("", Some("T"), &["Subject: deleted\r\n\r\n"]);
    let uids =
        |account: &Account| -> Vec<_> { account.open().read().iter().map(|mail| mail.id.uid).collect() };
    assert_eq!(uids(&account), [1, 2]);
    let account = account.with("cmsbs.bounce.processAll", "true");
    assert_eq!(uids(&account), [1, 2, 3, 4]);
    let read = account.open().read();
    assert!(read[2].flags.contains(&"\\Seen".to_owned()), "{:?}", read[2].flags);
    assert!(read[3].flags.contains(&"\\Flagged".to_owned()), "{:?}", read[3].flags);
}

#[test]
fn an_empty_mailbox_has_no_mail() {
    assert_eq!(Account::new().open().read(), []);
}

#[test]
fn what_was_kept_or_left_alone_comes_again_at_the_next_fetch_and_never_in_the_same() {
    let account = Account::new().with_mails(&mails(10));
    let mailbox = account.open();
    for round in 0..3 {
        let fetch = mailbox.fetch().unwrap();
        let mut uids = Vec::new();
        while let Some(mail) = mailbox.one_of(fetch) {
            if mail.id.uid % 2 == 0 {
                assert!(mailbox.settle(mail.id, Outcome::Keep).unwrap());
            }
            uids.push(mail.id.uid);
        }
        uids.sort_unstable();
        assert_eq!(uids, (1..=10).collect::<Vec<_>>(), "round {round}");
        assert!(mailbox.next(fetch).unwrap().is_none(), "the end stays the end");
    }
    assert!(account.on_disk("").iter().all(|mail| !mail.flags.contains('S')));
}

#[test]
fn what_was_settled_does_not_come_again() {
    let account = Account::new().with_mails(&mails(500));
    let mailbox = account.open();
    let fetch = mailbox.fetch().unwrap();
    while let Some(mail) = mailbox.one_of(fetch) {
        if mail.id.uid % 10 != 0 {
            mailbox.settle(mail.id, Outcome::Handled).unwrap();
        }
    }
    // Without a flush between: what was decided is told to the server before it is asked for mail again.
    let mut left: Vec<_> = mailbox.read().iter().map(|mail| mail.id.uid).collect();
    left.sort_unstable();
    assert_eq!(left, (1..=50).map(|n| n * 10).collect::<Vec<_>>());
}

#[test]
fn mail_that_comes_later_is_read_by_the_next_fetch_on_the_same_connection() {
    let account = Account::new().with_mails(&mails(1));
    let mailbox = account.open();
    assert_eq!(mailbox.read().len(), 1);
    account.fill("", None, &["Subject: later\r\n\r\n"]);
    assert_eq!(mailbox.read().len(), 2);
}

#[test]
fn a_new_fetch_ends_the_one_before() {
    let account = Account::new().with_mails(&mails(3));
    let mailbox = account.open();
    let first = mailbox.fetch().unwrap();
    mailbox.next(first).unwrap();
    let second = mailbox.fetch().unwrap();
    let failure = mailbox.next(first).unwrap_err();
    assert_eq!((failure.step, failure.kind), (Step::Call, Kind::Usage), "{failure}");
    assert_eq!(mailbox.rest_of(second).len(), 3);
}

#[test]
fn starttls_does_as_well() {
    let account = Account::new()
        .with("cmsbs.mail.imap.port", &server("UM_TEST_STARTTLS_PORT"))
        .with("cmsbs.mail.imap.ssl", "tls")
        .with_mails(&mails(3));
    assert_eq!(account.open().read().len(), 3);
}

#[test]
fn a_mailbox_with_a_password_is_read_too() {
    let account = Account::new().with_password().with_mails(&mails(3));
    assert_eq!(account.open().read().len(), 3);
}

#[test]
fn reading_only_leaves_everything_as_it_was() {
    let account = Account::new().with_mails(&mails(20));
    account.fill("", Some("S"), &["Subject: read\r\n\r\n"]);
    account.fill(".Archive", Some(""), &["Subject: archived\r\n\r\n"]);
    let (mails, folders) = (account.mail_paths(), account.folder_names());
    let files = tree(account.um_home());

    let mailbox = account.try_open(Access::ReadOnly).unwrap();
    let read = mailbox.read();
    assert_eq!(read.len(), 20);
    let failure = mailbox.settle(read[0].id, Outcome::KeepRead).unwrap_err();
    assert_eq!(failure.kind, Kind::Usage, "{failure}");
    mailbox.flush().unwrap();
    mailbox.close();

    assert_eq!(account.mail_paths(), mails);
    assert_eq!(account.folder_names(), folders);
    assert_eq!(tree(account.um_home()), files);
}

#[test]
fn a_fetch_tells_how_many_mails_it_has_found() {
    let account = Account::new().with_mails(&mails(30));
    let opened = account.open();
    let first = opened.fetch().unwrap();
    assert_eq!(opened.found(first).unwrap(), 30);
    opened.settle(opened.one_of(first).unwrap().id, Outcome::Handled).unwrap();
    opened.flush().unwrap();
    assert_eq!(opened.found(first).unwrap(), 30, "what it has found, not what is left");
    let second = opened.fetch().unwrap();
    assert_eq!(opened.found(second).unwrap(), 29);
    assert!(opened.found(first).is_err());
}

#[test]
fn oauthbearer_opens_a_mailbox_where_there_is_no_xoauth2() {
    for dialect in ["OAUTHBEARER", "OAUTHBEARER_IN_TWO_STEPS"] {
        let account = Account::speaking(dialect).with_mails(&mails(3));
        assert_eq!(account.open().read().len(), 3, "{dialect}");
    }
}
