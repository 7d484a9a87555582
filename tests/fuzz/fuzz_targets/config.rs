//! Any octets are a `cmsbs.properties`: nothing panics, and what the report prints reads the same when it is written back.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};

use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;
use um_imap_oauth2::config::{self, Report};

fuzz_target!(|octets: &[u8]| -> Corpus {
    HOMES.with(|homes| {
        let Some(report) = report_of(&homes.first, octets) else { return Corpus::Reject };
        let printed = report.to_string();
        let Some(again) = report_of(&homes.second, printed.as_bytes()) else {
            panic!("unreadable: {printed}")
        };
        assert_eq!(values(&report), values(&again), "{printed}");
        for mailbox in &report.mailboxes {
            let listener = mailbox.listener.as_deref();
            let usable = config::from_um_home(homes.first.home.path(), listener, &|_| None).is_ok();
            assert_eq!(usable, mailbox.errors.is_empty(), "{printed}");
        }
        Corpus::Keep
    })
});

fn report_of(home: &Home, octets: &[u8]) -> Option<Report> {
    fs::write(&home.main, octets).ok()?;
    config::report(home.home.path(), None, &|_| None, None).ok()
}

fn values(report: &Report) -> Vec<(&str, Option<&str>)> {
    let settings = report.shared.iter().chain(report.mailboxes.iter().flat_map(|mailbox| &mailbox.settings));
    settings.map(|setting| (setting.key.as_str(), setting.value.as_deref())).collect()
}

struct Home {
    home: TempDir,
    main: PathBuf,
}

struct Homes {
    first: Home,
    second: Home,
}

impl Home {
    fn new() -> Self {
        // In memory where there is such a place: the file is written a thousand times a second.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let home = directory.expect("a temporary directory");
        let main = home.path().join("cmsbs-conf/cmsbs.properties");
        fs::create_dir(home.path().join("cmsbs-conf")).expect("a directory in it");
        Self { home, main }
    }
}

thread_local! {
    static HOMES: Homes = Homes { first: Home::new(), second: Home::new() };
}
