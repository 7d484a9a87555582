//! What a call of `settle` costs, with the journal and without it:
//!
//! ```text
//! tests/servers/with-servers cargo bench --bench settle
//! ```
//!
//! 5,000 mails are fetched from Dovecot and settled into three folders as they come.

#[path = "../tests/real_servers/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::time::{Duration, Instant};

use um_imap_oauth2::mailbox::Outcome;

use support::{Account, mails};

fn main() {
    println!("5,000 mails        mean  median     p99     max   settle in all   with fetch and flush");
    for journal in ["none", "file"] {
        let account = Account::new()
            .with("cmsbs.bounce.debug", "true")
            .with("cmsbs.mail.imap.folder.hardbounce", "hard")
            .with("cmsbs.mail.imap.journal", journal)
            .with_mails(&mails(MAILS));
        let mailbox = account.open();
        let outcomes = [Outcome::HardBounce, Outcome::Handled, Outcome::Unrecognised];
        let begun = Instant::now();
        let fetch = mailbox.fetch().expect("a fetch");
        let mut times = Vec::new();
        while let Some(mail) = mailbox.one_of(fetch) {
            let outcome = outcomes[mail.id.uid as usize % 3];
            let call = Instant::now();
            assert!(mailbox.settle(mail.id, outcome).expect("it can be settled"));
            times.push(call.elapsed());
        }
        mailbox.flush().expect("the server does it");
        let all = begun.elapsed();
        assert_eq!((times.len(), account.on_disk("").len()), (MAILS, 0));
        times.sort();
        let sum: Duration = times.iter().sum();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "journal {journal}  {:8.1} {:7.1} {:7.1} {:7.0} µs {:12.0} ms {:19.1} s",
            micros(sum / MAILS as u32),
            micros(times[MAILS / 2]),
            micros(times[MAILS * 99 / 100]),
            micros(times[MAILS - 1]),
            sum.as_secs_f64() * 1e3,
            all.as_secs_f64()
        );
    }
}

const MAILS: usize = 5_000;
