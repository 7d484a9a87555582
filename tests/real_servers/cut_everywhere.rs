//! One fault at any place of a session: no mail is lost, none comes twice, everything is where it was decided, and every
//! call ends.
//!
//! 100 places are tried, spread over what goes both ways from the first octet of the first connection to the last of the
//! last answer, over TLS and without. `UM_TEST_CUTS=1000` tries so many, `UM_TEST_CUTS=17..18` the one that a failure names.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use um_imap_oauth2::failure::{Failure, Retry};
use um_imap_oauth2::imap::limits::Times;
use um_imap_oauth2::mailbox::{Access, FetchId, Outcome};

use crate::support::{Account, Fault, Harm, Opened, Relay, Way, as_served, corpus, server};

#[test]
fn wherever_a_session_breaks_no_mail_is_lost_or_comes_twice_and_every_call_ends() {
    let mails = some_of_the_corpus();
    let lengths = [true, false].map(|tls| {
        let relay = relay(tls, None);
        session(&relay, tls, &mails, None).unwrap_or_else(|problem| panic!("without a fault: {problem}"));
        [Way::ToClient, Way::ToServer].map(|way| relay.passed(way))
    });
    let places = places();
    let (next, problems) = (AtomicUsize::new(places.start), Mutex::new(Vec::new()));
    let [harmed, noticed] = [const { AtomicUsize::new(0) }; 2];
    let trial = |number| {
        let (tls, fault) = place(number, &lengths);
        let relay = relay(tls, Some(fault));
        let result = session(&relay, tls, &mails, Some(fault));
        harmed.fetch_add(usize::from(relay.has_harmed()), Ordering::Relaxed);
        noticed.fetch_add(usize::from(relay.connections.load(Ordering::Relaxed) > 1), Ordering::Relaxed);
        result.map_err(|problem| format!("{number}: {fault:?}, TLS {tls}: {problem}"))
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(number) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| places.contains(n))
                {
                    if let Err(problem) = trial(number) {
                        problems.lock().unwrap().push(problem);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    let (harmed, noticed) = (harmed.into_inner(), noticed.into_inner());
    println!("{} places, {harmed} faults, {noticed} sessions with more than one connection", places.len());
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), places.len(), problems.join("\n"));
    // Sessions differ by some octets, so that one may end before its fault; and no fault is one that nothing comes of.
    assert!(
        harmed * 10 >= places.len() * 9 && noticed * 10 >= places.len() * 7,
        "{harmed} faults, {noticed} noticed"
    );
}

/// Fetches and settles all mails through `relay`, polling again where a poll ended early, and looks what is on the server.
fn session(relay: &Relay, tls: bool, mails: &[Vec<u8>], fault: Option<Fault>) -> Result<(), String> {
    let account = account(relay, tls).with_mails(mails);
    let expected: BTreeMap<u32, Vec<u8>> = (1..).zip(mails.iter().map(|mail| as_served(mail))).collect();
    let mailbox = account.open_within(TIMES, Access::ReadWrite).map_err(|failure| failure.to_string())?;
    let flipped = fault.is_some_and(|fault| fault.harm == Harm::Flip);
    // Without TLS nobody notices that an octet is another one, and it may be one of a UID, a command or a mail.
    let trusted = tls || !flipped;

    let mut read = false;
    for _ in 0..POLLS {
        match timed("fetch", || mailbox.fetch())? {
            Ok(fetch) => {
                read_and_settle(&mailbox, fetch, &expected, trusted)?;
                read = true;
                break;
            }
            Err(failure) => may_be_tried_again(&failure, flipped)?,
        }
    }
    if !read && trusted {
        return Err(format!("{POLLS} polls failed"));
    }
    for attempt in 1.. {
        match timed("flush", || mailbox.flush())? {
            Ok(()) => break,
            Err(failure) if attempt < POLLS => may_be_tried_again(&failure, flipped)?,
            Err(failure) => return Err(format!("{POLLS} times flush failed: {failure}")),
        }
    }
    timed("close", || mailbox.close())?;
    compare(account.folders(), expected, trusted)
}

/// Reads a fetch to its end. Without `trusted` nothing is settled, and anything may come.
fn read_and_settle(
    mailbox: &Opened,
    fetch: FetchId,
    expected: &BTreeMap<u32, Vec<u8>>,
    trusted: bool,
) -> Result<(), String> {
    let mut handed_out = BTreeSet::new();
    loop {
        let message = match timed("next", || mailbox.next(fetch))? {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(failure) if trusted => return Err(format!("a fetch that had begun failed: {failure}")),
            Err(_) => break,
        };
        let uid = message.id.uid;
        let octets = message.body.into_bytes().map_err(|error| error.to_string())?;
        if !handed_out.insert(uid) {
            return Err(format!("UID {uid} came twice"));
        }
        if trusted {
            if expected.get(&uid) != Some(&octets) {
                return Err(format!("UID {uid} came with other octets"));
            }
            settle(mailbox, &message.id).map_err(|failure| format!("settling failed: {failure}"))?;
        }
    }
    if trusted && handed_out.len() < expected.len() {
        let (came, all) = (handed_out.len(), expected.len());
        return Err(format!("{came} of {all} mails came, and the fetch ended as if there were no more"));
    }
    Ok(())
}

/// Fails if the mails are in other folders than was decided.
fn compare(
    on_disk: BTreeMap<String, Vec<Vec<u8>>>,
    expected: BTreeMap<u32, Vec<u8>>,
    trusted: bool,
) -> Result<(), String> {
    let mut decided: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (uid, octets) in expected {
        if let Some(folder) = if trusted { folder(uid) } else { Some("") } {
            decided.entry(folder.to_owned()).or_default().push(octets);
        }
    }
    decided.values_mut().for_each(|mails| mails.sort());
    if on_disk == decided {
        return Ok(());
    }
    let count = |folders: &BTreeMap<String, Vec<Vec<u8>>>| {
        let counts = folders.iter().map(|(folder, mails)| format!("{folder:?} {}", mails.len()));
        counts.collect::<Vec<_>>().join(", ")
    };
    Err(format!("on the server are {}, decided was {}", count(&on_disk), count(&decided)))
}

/// A third of the mails each to two folders and away, but for some that stay.
fn settle(mailbox: &Opened, id: &um_imap_oauth2::mailbox::MessageId) -> Result<bool, Failure> {
    match id.uid % 4 {
        0 => mailbox.settle(*id, Outcome::Handled),
        1 => mailbox.settle(*id, Outcome::Unrecognised),
        2 => mailbox.delete(*id),
        _ => mailbox.settle(*id, Outcome::Keep),
    }
}

/// Where a mail is afterwards, as it is called on disk.
fn folder(uid: u32) -> Option<&'static str> {
    [Some(".debug"), Some(".error"), None, Some("")][uid as usize % 4]
}

fn may_be_tried_again(failure: &Failure, flipped: bool) -> Result<(), String> {
    // What an octet that is another one looks like at the beginning, before anything worked, is open.
    if failure.retry == Retry::Never && !flipped {
        return Err(format!("trying again was called useless: {failure}"));
    }
    Ok(())
}

fn timed<T>(call: &str, work: impl FnOnce() -> T) -> Result<T, String> {
    let begun = Instant::now();
    let result = work();
    let took = begun.elapsed();
    if took > LONGEST_CALL { Err(format!("{call} took {took:?}")) } else { Ok(result) }
}

fn account(relay: &Relay, tls: bool) -> Account {
    let account = Account::new()
        .with("cmsbs.mail.imap.port", &relay.port.to_string())
        .with("cmsbs.bounce.debug", "true");
    if tls { account } else { account.with_password().with("cmsbs.mail.imap.ssl", "false") }
}

fn relay(tls: bool, fault: Option<Fault>) -> Relay {
    let port = server(if tls { "UM_TEST_IMAP_PORT" } else { "UM_TEST_STARTTLS_PORT" });
    Relay::slow(&port, LATENCY, fault)
}

/// The place with this number, given the octets to client and server of a session with TLS and of one without. However many
/// places there are, they are spread evenly, and so is each harm.
fn place(number: usize, lengths: &[[usize; 2]; 2]) -> (bool, Fault) {
    let harm = [Harm::Cut, Harm::Reset, Harm::Stall, Harm::Drip, Harm::Flip][number % 5];
    let tls = (number / 5).is_multiple_of(2);
    let way = if number / 10 % 4 == 3 { Way::ToServer } else { Way::ToClient };
    let length = lengths[usize::from(!tls)][usize::from(way == Way::ToServer)];
    // Multiples of the golden ratio, without their integral part, are spread evenly.
    let part = ((number + 1) as f64 * 0.618_033_988_749_894_9).fract();
    (tls, Fault { way, at: (part * length as f64) as usize, harm })
}

fn places() -> Range<usize> {
    let Ok(wanted) = env::var("UM_TEST_CUTS") else { return 0..100 };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("UM_TEST_CUTS={wanted}"));
    match wanted.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&wanted),
    }
}

/// Small ones, the odd ones among them, and some that go through the connection in many pieces.
fn some_of_the_corpus() -> Vec<Vec<u8>> {
    let corpus = corpus();
    let small = corpus.iter().filter(|mail| mail.len() < 8_000).step_by(25).take(24);
    let large = corpus.iter().filter(|mail| (30_000..60_000).contains(&mail.len())).take(3);
    let odd = corpus.iter().filter(|mail| mail.len() < 8_000 && mail.contains(&0)).take(3);
    small.chain(large).chain(odd).cloned().collect()
}

/// Sessions side by side; most of them wait.
const AT_A_TIME: usize = 16;

const LATENCY: Duration = Duration::from_millis(3);

/// A tenth and less of what the product has.
const TIMES: Times = Times {
    opening: Duration::from_secs(8),
    command: Duration::from_secs(3),
    search: Duration::from_secs(3),
    noop: Duration::from_secs(3),
    throttled: Duration::from_secs(60),
};

/// One fault ends one poll at most; more end only where the machine is too busy for [`TIMES`].
const POLLS: u32 = 6;

const LONGEST_CALL: Duration = Duration::from_secs(120);
