//! Memory that is not there for a message: the message comes later, and the process lives.
//! `UM_TEST_ALLOCATIONS=12` tries more than `make test` does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::fs;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;
use um_imap_oauth2::config;
use um_imap_oauth2::log::Log;
use um_imap_oauth2::mailbox::{Access, Mailbox, Outcome};
use um_imap_oauth2::net::{Anchors, Trust};
use um_standin::Standin;

#[test]
fn a_message_without_memory_comes_with_the_next_fetch() {
    let most = std::env::var("UM_TEST_ALLOCATIONS").map_or(4, |most| most.parse().expect("a number"));
    for nth in 1..=most {
        let standin = standin();
        let home = home(&standin);
        let mailbox = open(&home);
        FAIL_AT.store(nth, Ordering::SeqCst);
        let first = read(&mailbox);
        let left = FAIL_AT.swap(0, Ordering::SeqCst);
        assert_eq!(left, 0, "allocation {nth} of a message did not happen");
        let second = read(&mailbox);
        assert_eq!(first.len() + second.len(), MESSAGES, "{first:?}, then {second:?}");
        assert_eq!(second.len(), 1, "{first:?}, then {second:?}");
        assert!(first.is_disjoint(&second), "{first:?}, then {second:?}");
        mailbox.flush().expect("all of them are settled");
        assert_eq!(mailbox.pending().expect("it is open"), 0);
    }
}

/// Fetches and settles what there is. Returns the UIDs.
fn read(mailbox: &Mailbox) -> BTreeSet<u32> {
    let fetch = mailbox.fetch().expect("a fetch");
    let mut uids = BTreeSet::new();
    while let Some(message) = mailbox.next(fetch).expect("the fetch goes on") {
        assert_eq!(message.body.len(), OCTETS as u64);
        assert!(uids.insert(message.id.uid), "{} came twice", message.id.uid);
        assert!(mailbox.settle(message.id, Outcome::Handled).expect("it is open"));
    }
    uids
}

fn standin() -> Standin {
    let mails: Vec<_> = (0..MESSAGES)
        .map(|number| {
            let header = format!("Message-ID: <{number:02}@example.net>\n\n");
            // Two line feeds become line ends.
            let body = "x".repeat(OCTETS - header.len() - 2);
            json!({"text": header + &body})
        })
        .collect();
    let mailboxes = json!([{"user": "bounces@example.com", "folders": [{"name": "INBOX", "mails": mails}]}]);
    Standin::start(serde_json::from_value(json!({"mailboxes": mailboxes})).unwrap()).expect("a stand-in")
}

fn home(standin: &Standin) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    for directory in ["cmsbs-conf", "cmsbs-work"] {
        fs::create_dir(home.path().join(directory)).expect("it is new");
    }
    let lines = standin.properties().into_iter().map(|(key, value)| format!("{key} = \"{value}\"\n"));
    fs::write(home.path().join("cmsbs-conf/cmsbs.properties"), lines.collect::<String>()).expect("a file");
    home
}

fn open(home: &tempfile::TempDir) -> Mailbox {
    let config = config::from_um_home(home.path(), None, &|_| None).expect("the properties").config;
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref()).expect("authorities");
    Mailbox::open(config, trust, Access::ReadWrite, Log::default()).expect("a mailbox")
}

/// Refuses one allocation for a message: of its size, in the thread that talks to the server.
struct Scarce;

// SAFETY: everything but the refusal, which an allocator may always do, is the system's.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() == OCTETS && is_refused() {
            return ptr::null_mut();
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

fn is_refused() -> bool {
    thread::current().name() == Some("um-imap-oauth2")
        && FAIL_AT
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1))
            .is_ok_and(|count| count == 1)
}

#[global_allocator]
static MEMORY: Scarce = Scarce;

/// The number of the allocation that is refused; 0: none.
static FAIL_AT: AtomicUsize = AtomicUsize::new(0);

const MESSAGES: usize = 12;

/// Nothing else in that thread has just this size.
const OCTETS: usize = 300_007;
