//! The open mailboxes by number. Java holds a number, never a pointer: a stale, doubled or forged one is a failure.

use std::collections::HashMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use once_cell::sync::Lazy;
use rustls::pki_types::CertificateDer;

use crate::check::{self, Options, Report};
use crate::config::keys::Names;
use crate::config::{Authentication, Language, Loaded, Severity};
use crate::config::{explain_unconfigured, explain_unopened};
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::{Log, Record};
use crate::mailbox::{Access, Mailbox};
use crate::message;
use crate::net::{Anchors, Cancel, JvmProxy, Trust, no_thread};
use crate::text::Arg;

/// From now on these issuers (those that the JVM trusts) count, or why they cannot be read.
pub(super) fn trust(issuers: Result<Vec<CertificateDer<'static>>>) {
    registry().issuers = Some(issuers);
}

/// From now on mailboxes are opened with this proxy where no property says how the token endpoint is reached.
pub(super) fn proxy(jvm: JvmProxy) {
    registry().proxy = jvm;
}

/// From now on mailboxes are opened with this language where `cmsbs.lang` is not set.
pub(super) fn speak(language: Language) {
    registry().language = Some(language);
}

pub(super) fn language() -> Option<Language> {
    registry().language
}

/// Opens a mailbox and returns its number. `work_directory` replaces the configured one.
pub(super) fn open(mut loaded: Loaded, work_directory: Option<PathBuf>) -> Result<i64> {
    if let Some(directory) = work_directory {
        // The configured one is not made where nothing is that it lies in: such an installation wants no files. Whoever names one
        // wants it. The first fetch says what is wrong with it.
        let _ = directory.parent().map(fs::create_dir_all);
        loaded.config.work_directory = Some(directory);
    }
    if let Authentication::OAuth2(oauth2) = &loaded.config.authentication {
        let jvm = registry().proxy.clone();
        let oauth2 = oauth2.clone().or_through(|host| Ok(jvm.to(host)));
        let oauth2 = oauth2.map_err(|failure| explain_unopened(failure, &loaded.config))?;
        loaded.config.authentication = Authentication::OAuth2(oauth2);
    }
    let log = Log::default().speaking(loaded.config.language);
    for finding in &loaded.findings {
        match finding.severity {
            Severity::Warning => {
                log.warning(message!(LogFinding, finding = Arg::Shown(finding.text.clone())))
            }
            Severity::Info => log.info(message!(LogFinding, finding = Arg::Shown(finding.text.clone()))),
        }
    }
    let config = loaded.config.clone();
    let trust = Trust::later(anchors, config.ca_file.as_deref());
    let trust = trust.map_err(|failure| explain_unopened(failure, &config))?;
    let name = format!("{}/{}", config.user, config.folders.inbox);
    *spoken() = config.language;
    let mailbox = Mailbox::open(config, trust, Access::ReadWrite, log.clone())?;
    let mut registry = registry();
    registry.last += 1;
    let number = registry.last;
    let (loaded, checks) = (Arc::new(loaded), Cancel::default());
    registry.mailboxes.insert(number, Open { mailbox: Some(mailbox), name, log, loaded, checks });
    Ok(number)
}

/// Hands the mailbox its configuration, read anew; true: its credential has changed.
pub(super) fn renew(number: i64, loaded: &Loaded) -> Result<bool> {
    let fresh = &loaded.config.authentication;
    let renewed = call(number, |mailbox| Ok(mailbox.renew(fresh)))?;
    // What is tested is what will be used.
    if let Some(open) = registry().mailboxes.get_mut(&number)
        && let Some(authentication) = open.loaded.config.authentication.renewed_by(fresh)
    {
        Arc::make_mut(&mut open.loaded).config.authentication = authentication;
    }
    Ok(renewed)
}

/// What the mailbox is called in the ids of its mails: `user/inbox`.
pub(super) fn name(number: i64) -> Result<String> {
    registry().mailboxes.get(&number).map(|open| open.name.clone()).ok_or_else(closed)
}

/// Calls the mailbox, which can be closed meanwhile from another thread. One in which a panic occurred is not used again.
pub(super) fn call<T>(number: i64, function: impl FnOnce(&Mailbox) -> Result<T>) -> Result<T> {
    let mailbox = find(number).ok_or_else(closed)?;
    catch_unwind(AssertUnwindSafe(|| function(&mailbox))).unwrap_or_else(|panic| {
        // The panic under way is the one to report, not what comes of closing a broken mailbox.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| close(number))) {
            std::mem::forget(second);
        }
        resume_unwind(panic)
    })
}

/// Tests the mailbox step by step, on connections of its own; nothing changes. `unread` is why its configuration could not be
/// read anew: then that is what is found.
pub(super) fn check(number: i64, unread: Option<Failure>) -> Result<Report> {
    call(number, |_| on_a_stack_of_its_own(|| check_open(number, unread))?)
}

/// For what needs much of it: a thread of Java's can be near the end of its own, or have a small one.
fn on_a_stack_of_its_own<T: Send>(function: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("um-imap-oauth2".into());
        let started = thread.spawn_scoped(scope, function);
        let none = |error| explained(Failure::own(Step::Connect, Kind::Network, no_thread(&error)));
        Ok(started.map_err(none)?.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn check_open(number: i64, unread: Option<Failure>) -> Result<Report> {
    let anchors = anchors()?;
    let (loaded, cancel, log) = {
        let registry = registry();
        let open = registry.mailboxes.get(&number).ok_or_else(closed)?;
        (open.loaded.clone(), open.checks.clone(), open.log.clone())
    };
    let options = Options {
        anchors,
        write: false,
        language: loaded.config.language,
        cancel: &cancel,
        log: &log,
        watch: &mut |_| {},
    };
    let tested = unread.map_or_else(|| Ok(Loaded::clone(&loaded)), Err);
    let report = check::check(&tested, loaded.config.listener.as_deref(), options);
    if cancel.is_cancelled() { Err(closed()) } else { Ok(report) }
}

/// Closes the mailbox. Its last words wait for [`take_log`]. An unknown number is nobody's mailbox: nothing happens.
pub(super) fn close(number: i64) {
    let Some(mailbox) = find(number) else { return };
    if let Some(open) = registry().mailboxes.get(&number) {
        open.checks.cancel();
    }
    mailbox.close();
    if let Some(open) = registry().mailboxes.get_mut(&number) {
        open.mailbox = None;
    }
}

/// What the mailbox had to say since the last time. A closed one is forgotten with this.
pub(super) fn take_log(number: i64) -> Vec<Record> {
    let mut registry = registry();
    let Some(open) = registry.mailboxes.get(&number) else { return Vec::new() };
    let records = open.log.take();
    if open.mailbox.is_none() {
        registry.mailboxes.remove(&number);
    }
    records
}

/// With cause and remedy, where there is no mailbox that could say more.
pub(super) fn explained(failure: Failure) -> Failure {
    explain_unconfigured(failure, *spoken(), &Names::default())
}

#[derive(Default)]
struct Registry {
    /// The last number that was given; none is given twice.
    last: i64,
    mailboxes: HashMap<i64, Open>,
    issuers: Option<Result<Vec<CertificateDer<'static>>>>,
    proxy: JvmProxy,
    language: Option<Language>,
}

struct Open {
    /// `None`: closed.
    mailbox: Option<Mailbox>,
    name: String,
    log: Log,
    loaded: Arc<Loaded>,
    /// Ends the checks that are under way.
    checks: Cancel,
}

fn find(number: i64) -> Option<Mailbox> {
    registry().mailboxes.get(&number)?.mailbox.clone()
}

/// Whom the JVM trusts: nobody, as long as it has not said so.
fn anchors() -> Result<Anchors> {
    let issuers = registry().issuers.clone();
    issuers.unwrap_or(Ok(Vec::new())).map(Anchors::given)
}

fn closed() -> Failure {
    explained(Failure::own(Step::Call, Kind::Closed, message!(MailboxIsClosed)))
}

/// That of the mailbox that was opened last: it is a setting of all of UM.
fn spoken() -> MutexGuard<'static, Language> {
    static SPOKEN: Lazy<Mutex<Language>> = Lazy::new(Mutex::default);
    SPOKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: Lazy<Mutex<Registry>> = Lazy::new(Mutex::default);
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}
