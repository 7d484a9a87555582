//! Connections that are closed, cut or many.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use um_imap_oauth2::failure::{Failure, Kind, Retry};
use um_imap_oauth2::mailbox::Outcome;

use crate::support::{Account, Flow, Relay, mails, server, silent_server};

#[test]
fn closing_from_another_thread_ends_a_waiting_call_at_once() {
    // A mail that never arrives as a whole, and a server that never greets.
    let stalling = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::StallAfter(300_000));
    let account = Account::new()
        .with("cmsbs.mail.imap.port", &stalling.port.to_string())
        .with_mails(&[vec![b'a'; 1 << 20]]);
    let mailbox = account.open();
    let fetch = mailbox.fetch().unwrap();
    ends_at_once(|| mailbox.close(), || mailbox.next(fetch).map(drop));

    let mailbox = Account::new().with("cmsbs.mail.imap.port", &silent_server().to_string()).open();
    ends_at_once(|| mailbox.close(), || mailbox.fetch().map(drop));
    assert_eq!(account.on_disk("").len(), 1);
}

#[test]
fn a_closed_mailbox_refuses_every_call() {
    let account = Account::new().with_mails(&mails(1));
    let mailbox = account.open();
    let fetch = mailbox.fetch().unwrap();
    let id = mailbox.one_of(fetch).unwrap().id;
    mailbox.close();
    mailbox.close();
    let failures = [
        mailbox.fetch().map(drop),
        mailbox.next(fetch).map(drop),
        mailbox.settle(id, Outcome::Handled).map(drop),
        mailbox.flush(),
    ];
    for failure in failures {
        assert_eq!(failure.unwrap_err().kind, Kind::Closed);
    }
    assert_eq!(account.on_disk("").len(), 1);
}

#[test]
fn a_cut_connection_within_a_fetch_loses_and_repeats_no_mail() {
    let mails: Vec<_> = (0..60)
        .map(|number| format!("Message-ID: <{number}@example.net>\r\n\r\n{}", "x".repeat(20_000)))
        .collect();
    let cutting = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::CutAfter(400_000));
    let account = Account::new().with("cmsbs.mail.imap.port", &cutting.port.to_string()).with_mails(&mails);
    let mailbox = account.open();
    let fetch = mailbox.fetch().unwrap();
    let mut uids = BTreeSet::new();
    while let Some(mail) = mailbox.one_of(fetch) {
        assert!(uids.insert(mail.id.uid), "{} came twice", mail.id.uid);
        assert_eq!(mail.octets, mails[mail.id.uid as usize - 1].as_bytes());
        mailbox
            .settle(mail.id, if mail.id.uid % 2 == 0 { Outcome::Handled } else { Outcome::Unrecognised })
            .unwrap();
    }
    assert_eq!(uids.len(), 60);
    cutting.set(Flow::Free);
    mailbox.flush().unwrap();
    assert!(cutting.connections.load(Ordering::SeqCst) >= 4);
    assert_eq!((account.on_disk("").len(), account.on_disk(".error").len()), (0, 30));
}

#[test]
fn a_connection_that_was_cut_between_two_fetches_is_made_again() {
    let relay = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::Free);
    let account = Account::new().with("cmsbs.mail.imap.port", &relay.port.to_string()).with_mails(&mails(5));
    let mailbox = account.open();
    let read = mailbox.read();
    assert_eq!(read.len(), 5);
    relay.set(Flow::CutAfter(0));
    mailbox.settle(read[0].id, Outcome::Handled).unwrap();
    let failure = mailbox.flush().unwrap_err();
    assert_eq!(failure.retry, Retry::Later, "{failure}");
    relay.set(Flow::Free);
    let uids: Vec<_> = mailbox.read().iter().map(|mail| mail.id.uid).collect();
    assert_eq!(uids, [2, 3, 4, 5]);
    assert_eq!(account.on_disk("").len(), 4);
}

#[test]
fn mailboxes_that_are_read_side_by_side_do_not_meet() {
    let accounts: Vec<_> = (1..=6)
        .map(|number| Account::new().with_mails(&vec![format!("Subject: {number}\r\n\r\n"); number]))
        .collect();
    thread::scope(|scope| {
        for (number, account) in accounts.iter().enumerate() {
            scope.spawn(move || {
                let mailbox = account.open();
                let read = mailbox.read();
                assert_eq!(read.len(), number + 1);
                let subject = format!("Subject: {}\r\n\r\n", number + 1);
                assert!(read.iter().all(|mail| mail.octets == subject.as_bytes()));
            });
        }
    });
}

/// `call` waits; `close` ends it within a second, as a call on a closed mailbox.
#[track_caller]
fn ends_at_once(close: impl FnOnce(), call: impl FnOnce() -> Result<(), Failure> + Send) {
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel();
        scope.spawn(move || ended.send(call()));
        let waits = end.recv_timeout(Duration::from_secs(1));
        assert_eq!(waits, Err(mpsc::RecvTimeoutError::Timeout), "the call did not wait");
        let begun = Instant::now();
        close();
        let result = end.recv_timeout(Duration::from_secs(5)).expect("the call ends");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(result.unwrap_err().kind, Kind::Closed);
    });
}
