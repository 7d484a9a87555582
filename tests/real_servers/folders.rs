//! The folders that mail is moved to, and servers that differ.

use std::collections::BTreeSet;

use um_imap_oauth2::failure::{Kind, Retry, Step};
use um_imap_oauth2::mailbox::Outcome;

use crate::support::outcomes::{lands, lands_beside, with_folders, without_debug};
use crate::support::{Account, mails};

#[test]
fn folders_are_made_where_they_are_missing_before_any_mail_is_handed_out() {
    let account = with_folders(Account::new()).with("cmsbs.bounce.debug", "true");
    account.open().read();
    let made: BTreeSet<_> = account.folder_names().into_iter().collect();
    for folder in [".Handled", ".Unknown", ".bounces.hard", ".Sp&AOQ-m"] {
        assert!(made.contains(folder), "{made:?}");
    }
}

#[test]
fn a_folder_that_differs_only_in_case_is_taken() {
    let account = Account::new()
        .with("cmsbs.bounce.debug", "true")
        .with("cmsbs.mail.imap.folder.debug", "GELÖSCHTE elemente")
        .with_mails(&mails(2));
    account.fill(".Error", Some(""), &[""; 0]);
    account.fill(".Gel&APY-schte Elemente", Some(""), &[""; 0]);
    let mailbox = account.open();
    mailbox.settle_all(|mail| if mail.id.uid == 1 { Outcome::Unrecognised } else { Outcome::Handled });
    assert_eq!(account.folder_names(), [".Error", ".Gel&APY-schte Elemente"]);
    assert_eq!(account.on_disk(".Error").len(), 1);
    assert_eq!(account.on_disk(".Gel&APY-schte Elemente").len(), 1);
}

#[test]
fn a_target_folder_that_is_the_inbox_is_a_mistake_in_the_configuration() {
    for inbox in ["INBOX", "inbox"] {
        let account =
            Account::new().with("cmsbs.bounce.debug", "true").with("cmsbs.mail.imap.folder.debug", inbox);
        let failure = account.failure();
        assert_eq!((failure.step, failure.kind), (Step::Configuration, Kind::Configuration), "{failure}");
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.folder.debug"));
    }
}

#[test]
fn another_inbox_is_read_and_nothing_else() {
    let account = Account::new().with("cmsbs.mail.imap.folder.inbox", "Bounces.new").with_mails(&mails(1));
    account.fill(".Bounces.new", None, &["Subject: bounce\r\n\r\n"]);
    let mailbox = account.open();
    mailbox.settle_all(|mail| {
        assert_eq!(mail.octets, b"Subject: bounce\r\n\r\n");
        Outcome::Handled
    });
    assert_eq!((account.on_disk("").len(), account.on_disk(".Bounces.new").len()), (1, 0));
}

#[test]
fn a_refused_top_level_folder_is_answered_with_the_line_to_write() {
    let account = Account::speaking("INBOX_ONLY")
        .with("cmsbs.bounce.debug", "true")
        .with("cmsbs.mail.imap.folder.error", "INBOX.error")
        .with_mails(&mails(2));
    let failure = account.failure();
    assert_eq!((failure.step, failure.retry), (Step::Folders, Retry::Never), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.folder.debug"));
    let line = r#"cmsbs.mail.imap.folder.debug = "INBOX.debug""#;
    assert!(failure.to_string().contains(line), "{failure}");
    assert_eq!(account.on_disk("").len(), 2);

    // And with this line all is well.
    let account = account.with("cmsbs.mail.imap.folder.debug", "INBOX.debug");
    let mailbox = account.open();
    mailbox.settle_all(|mail| if mail.id.uid == 1 { Outcome::Handled } else { Outcome::Unrecognised });
    assert_eq!((account.on_disk(".debug").len(), account.on_disk(".error").len()), (1, 1));
}

#[test]
fn a_server_without_sasl_ir_is_logged_in_to_in_two_steps() {
    lands(Account::speaking("NO_SASL_IR"), without_debug);
}

#[test]
fn a_server_without_move_copies_and_expunges_these_mails_only() {
    let account = Account::speaking("NO_MOVE").with("cmsbs.bounce.debug", "true");
    // Somebody else's mark: a bare EXPUNGE would remove it.
    account.fill("", Some("T"), &["Subject: marked\r\n\r\n"]);
    let marked = account.on_disk("");
    lands_beside(account, &marked, |outcome| match outcome {
        Outcome::Keep | Outcome::KeepRead => Some(""),
        Outcome::Unrecognised => Some(".error"),
        _ => Some(".debug"),
    });
}

#[test]
fn deleting_leaves_alone_what_somebody_else_has_marked() {
    let account = Account::new();
    account.fill("", Some("T"), &["Subject: marked\r\n\r\n"]);
    let marked = account.on_disk("");
    lands_beside(account, &marked, without_debug);
}

#[test]
fn a_server_without_uidplus_marks_mail_as_deleted_and_says_so_once() {
    for debug in ["true", "false"] {
        let account = Account::speaking("NO_UIDPLUS").with("cmsbs.bounce.debug", debug).with_mails(&mails(9));
        let mailbox = account.open();
        mailbox.settle_all(|mail| match mail.id.uid {
            1 => Outcome::Keep,
            2 => Outcome::Unrecognised,
            _ => Outcome::Handled,
        });
        let inbox = account.on_disk("");
        assert_eq!(inbox.len(), 9, "nothing is expunged");
        let marked = inbox.iter().filter(|mail| mail.flags.contains('T')).count();
        assert_eq!(marked, 8);
        assert_eq!(account.on_disk(".error").len(), 1);
        assert_eq!(account.on_disk(".debug").len(), if debug == "true" { 7 } else { 0 });

        let again = mailbox.read();
        assert_eq!(again.iter().map(|mail| mail.id.uid).collect::<Vec<_>>(), [1]);
        mailbox.delete(again[0].id).unwrap();
        mailbox.flush().unwrap();
        assert_eq!(mailbox.read(), []);
        let warnings = mailbox.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("UIDPLUS"), "{warnings:?}");
    }
}

#[test]
fn a_dot_becomes_the_servers_separator() {
    let account = Account::speaking("SLASH")
        .with("cmsbs.bounce.debug", "true")
        .with("cmsbs.mail.imap.folder.debug", "Bounces.Geprüft.alle")
        .with("cmsbs.mail.imap.folder.error", "INBOX.error");
    lands(account, |outcome| match outcome {
        Outcome::Keep | Outcome::KeepRead => Some(""),
        Outcome::Unrecognised => Some(".INBOX.error"),
        _ => Some(".Bounces.Gepr&APw-ft.alle"),
    });
}

#[test]
fn a_server_that_greets_as_exchange_online_does_is_no_different() {
    let account = with_folders(Account::speaking("EXCHANGE")).with("cmsbs.bounce.debug", "true");
    lands(account, |outcome| match outcome {
        Outcome::HardBounce => Some(".bounces.hard"),
        Outcome::Spam => Some(".Sp&AOQ-m"),
        Outcome::Unrecognised => Some(".Unknown"),
        Outcome::Keep | Outcome::KeepRead => Some(""),
        _ => Some(".Handled"),
    });
}
