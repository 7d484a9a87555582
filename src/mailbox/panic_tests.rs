//! A panic ends its mailbox, and nothing else.

use std::sync::Arc;

use super::played::{EXCHANGE, config, fetch, login, play, whole};
use super::{Access, Connector, Grade, Mailbox, Parts, STATUS, place};
use crate::config::MailboxConfig;
use crate::failure::{Kind, Result, keep_the_place_of_panics};
use crate::imap::Transport;
use crate::log::{Level, Log};
use crate::net::testing::Authority;
use crate::net::{Cancel, Deadline, Trust};

struct Panicking;

impl Connector for Panicking {
    fn connect(&self, _: &MailboxConfig, _: &Trust, _: Deadline, _: &Cancel) -> Result<Box<dyn Transport>> {
        panic!("a text that may hold anything")
    }
}

#[test]
fn a_panic_of_the_network_thread_is_a_failure_with_its_place_and_the_end_of_the_mailbox_only() {
    keep_the_place_of_panics();
    let work = tempfile::tempdir().unwrap();
    let mut config = config("panicking");
    config.work_directory = Some(work.path().join("work"));
    let status = place(&config).unwrap().join(STATUS);
    let parts = Parts { connector: Arc::new(Panicking), ..Parts::of(&config, Access::ReadWrite) };
    let log = Log::default();
    let trust = Authority::new().trust();
    let mailbox = Mailbox::open_with(parts, config, trust, Access::ReadWrite, log.clone()).unwrap();
    for _ in 0..2 {
        let failure = mailbox.fetch().unwrap_err();
        assert_eq!(failure.kind, Kind::Internal);
        assert!(failure.observed.starts_with("panic at src/mailbox/panic_tests.rs:"), "{failure:?}");
        assert!(!failure.cause.is_empty());
    }
    assert_eq!(mailbox.flush().unwrap_err().kind, Kind::Internal);
    assert_eq!(mailbox.health().state, Grade::Failing);
    mailbox.close();
    let records = log.take();
    assert!(records.iter().any(|record| record.level == Level::Error && record.text.contains("panic at")));
    assert!(records.iter().all(|record| !record.text.contains("may hold anything")));
    let written = std::fs::read_to_string(status).unwrap();
    assert!(written.contains("\"failing\"") && written.contains("panic at"), "{written}");
    let other = play("beside a panic", &[login(EXCHANGE) + &fetch("1", &[1])]);
    assert_eq!(other.fetch(), whole([1]));
}
