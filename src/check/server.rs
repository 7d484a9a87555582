//! The mail server: what it says, whether it lets us in, and what lies in the folders. Everything here only reads.

use secrecy::ExposeSecret;

use super::{Connection, Name, Notes, Run};
use crate::config::{Authentication, Language, MailboxConfig, Security, keys};
use crate::failure::{Failure, Kind, Result, Step};
use crate::imap::Transport;
use crate::imap::commands::Command;
use crate::imap::folders::{Folders, decode_utf7};
use crate::imap::limits::Times;
use crate::imap::login::{self, Greeted, Inbox, LoggedIn, Login, Opening, Secret, StartTls};
use crate::imap::responses::{Condition, Counts, Status};
use crate::imap::session::{Session, Skipped};
use crate::imap::tags::Tags;
use crate::mailbox::targets;
use crate::message;
use crate::net::{self, Cancel, Deadline, Trust};
use crate::sanitize;
use crate::token::AccessToken;

/// Without `trust` the server could not be reached; without a token, where one is needed, there is no login.
pub(super) fn test(
    run: &mut Run,
    config: &MailboxConfig,
    trust: Option<&Trust>,
    token: Option<&AccessToken>,
) {
    let greeted = match trust {
        Some(trust) => run.step_at(Name::Greeting, Some(Connection::Imap), None, |run, notes| {
            let mut greeted = greet(config, trust, run.cancel)?;
            warn_of_alerts(greeted.take_alerts(), run.language, notes);
            notes.see(&greeted.greeting);
            notes.see(greeted.capabilities.join(" "));
            Ok(greeted)
        }),
        None => {
            run.not_reached_at(Name::Greeting, Some(Connection::Imap), None);
            None
        }
    };
    let mut rest = [Name::Login, Name::Namespace, Name::Inbox, Name::Junk, Name::Folders].as_slice();
    let mut taken = || rest = rest.get(1..).unwrap_or_default();
    let login = secret(config, token).map(|secret| Login { user: &config.user, secret });
    let session = greeted.zip(trust).zip(login).and_then(|((greeted, trust), login)| {
        taken();
        let logged_in = run.step(Name::Login, |run, notes| {
            let language = run.language;
            let how = match login.secret {
                Secret::AccessToken(_) => message!(CheckByToken).in_language(language),
                Secret::Password(_) => message!(CheckByPassword).in_language(language),
            };
            notes.see(format!("{}, {how}", config.user));
            greeted.log_in(&login)
        })?;
        taken();
        let again = |run: &Run| greet(config, trust, run.cancel)?.log_in(&login);
        let logged_in = run.step(Name::Namespace, |run, notes| probed(run, logged_in, again, notes))?;
        taken();
        let mut session = run.step(Name::Inbox, |run, notes| inbox(run, config, logged_in, notes))?;
        taken();
        run.step(Name::Junk, |run, notes| junk_or_why_not(run, config, &mut session, notes))?;
        taken();
        run.step(Name::Folders, |run, notes| folders(run, config, &mut session, notes))?;
        Some(session)
    });
    run.not_reached(rest);
    if let Some(session) = session {
        session.log_out();
    }
}

/// A connection to the server, up to its capabilities.
pub(super) fn greet(config: &MailboxConfig, trust: &Trust, cancel: &Cancel) -> Result<Greeted> {
    let deadline = Deadline::after(Times::default().opening);
    let with = (config.security == Security::Tls).then_some(trust);
    let stream = net::connect(&config.server, config.port, config.proxy.as_ref(), with, deadline, cancel);
    let stream = stream.map_err(|failure| match failure.step {
        Step::Proxy => failure.key(keys::PROXY.name),
        _ => failure,
    })?;
    let stream: Box<dyn Transport> = Box::new(stream);
    let start_tls =
        (config.security == Security::StartTls).then_some(StartTls { host: &config.server, trust });
    login::greet(stream, Opening { start_tls, deadline, tags: Tags::random()?, trace: None })
}

/// What to log in with.
pub(super) fn secret<'a>(config: &'a MailboxConfig, token: Option<&'a AccessToken>) -> Option<Secret<'a>> {
    match &config.authentication {
        Authentication::Password(password) => Some(Secret::Password(password.expose_secret())),
        Authentication::OAuth2(_) => token.map(|token| Secret::AccessToken(token.secret())),
    }
}

/// A folder as people read it.
pub(super) fn readable(name: &str) -> String {
    // Its encoding can hold any character.
    sanitize::line(decode_utf7(name).unwrap_or_else(|| name.to_owned()))
}

/// The failure for what the server did not answer with OK.
pub(super) fn done(step: Step, condition: &Condition) -> Result<()> {
    match condition.status {
        Status::Ok => Ok(()),
        Status::No | Status::Bad => Err(Session::<()>::refused(step, condition)),
    }
}

/// Shows the texts that a server has for administrators (RFC 9051 §7.1).
fn warn_of_alerts(alerts: Vec<String>, language: Language, notes: &mut Notes) {
    for alert in alerts {
        let alert = sanitize::line(alert.as_str());
        notes.warn(message!(CheckAlert, alert = alert).in_language(language));
    }
}

/// Shows the first line that could not be read.
fn warn_of_skipped(skipped: &Skipped, language: Language, notes: &mut Notes) {
    let count = skipped.count;
    if count > 0 {
        let line = sanitize::line(skipped.first.as_str());
        notes.warn(message!(CheckSkippedLines, count = count, line = line).in_language(language));
    }
}

/// Asks for the namespaces. Exchange 2003 ends the connection there; `again` makes another one, on which they are not asked for.
fn probed(
    run: &Run,
    mut logged_in: LoggedIn,
    again: impl FnOnce(&Run) -> Result<LoggedIn>,
    notes: &mut Notes,
) -> Result<LoggedIn> {
    warn_of_alerts(logged_in.take_alerts(), run.language, notes);
    match logged_in.probe() {
        Ok(true) => {}
        Ok(false) => notes.see(message!(CheckNoNamespace).in_language(run.language)),
        Err(failure) if failure.kind == Kind::Network => {
            logged_in = again(run)?;
            let observed = failure.observed;
            notes.see(message!(CheckCutAtNamespace, observed = observed).in_language(run.language));
        }
        Err(failure) => return Err(failure),
    }
    Ok(logged_in)
}

fn inbox(run: &Run, config: &MailboxConfig, logged_in: LoggedIn, notes: &mut Notes) -> Result<Session<()>> {
    let language = run.language;
    let inbox = Inbox { name: &config.folders.inbox, read_only: true };
    let mut session = logged_in.select::<()>(&inbox)?;
    warn_of_alerts(session.take_alerts(), language, notes);
    let mut count = |unseen| {
        let (condition, found) = session.search(&Command::Search { unseen }, ())?;
        done(Step::Search, &condition).map(|()| found.len())
    };
    let (all, unread) = (count(false)?, count(true)?);
    let name = readable(&session.selected.name);
    let mails = mails(all, language);
    notes.see(message!(CheckInbox, name = name, mails = mails, unread = unread).in_language(language));
    let key = run.written(&keys::PROCESS_ALL);
    if config.process_all {
        notes.see(message!(CheckReadsAll, key = key).in_language(language));
    } else if all > unread {
        let read = all - unread;
        notes.see(message!(CheckReadsUnread, key = key, read = read).in_language(language));
    }
    warn_of_skipped(&session.take_skipped(), language, notes);
    if !session.capabilities.uidplus {
        notes.warn(message!(CheckNoUidplus).in_language(language));
    }
    Ok(session)
}

/// A server that does not let us look there can be read all the same.
fn junk_or_why_not(
    run: &Run,
    config: &MailboxConfig,
    session: &mut Session<()>,
    notes: &mut Notes,
) -> Result<()> {
    match junk(run, config, session, notes) {
        Err(failure) if failure.kind == Kind::Refused => {
            let observed = failure.observed;
            notes.warn(message!(CheckJunkUnknown, observed = observed).in_language(run.language));
            Ok(())
        }
        result => result,
    }
}

/// Bounces that a spam filter took for junk are never read.
fn junk(run: &Run, config: &MailboxConfig, session: &mut Session<()>, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    let Some(junk) = junk_folder(&session.folders) else {
        notes.see(message!(CheckNoJunk).in_language(language));
        return Ok(());
    };
    let name = readable(&junk);
    let ours = |configured: &str| session.folders.resolve(configured).name == junk;
    if ours(&config.folders.inbox) || targets(config).iter().any(|(_, configured)| ours(configured)) {
        notes.see(message!(CheckJunkIsOurs, name = name).in_language(language));
        return Ok(());
    }
    done(Step::Select, &session.reselect(&junk, true, ())?)?;
    let (condition, found) = session.search(&Command::SearchBounces, ())?;
    done(Step::Search, &condition)?;
    let (count, user) = (found.len(), &config.user);
    if count == 0 {
        notes.see(message!(CheckJunkEmpty, name = name).in_language(language));
    } else {
        let bounces = message!(CheckJunkBounces, name = name, count = count).in_language(language);
        let filter = match crate::text::is_exchange_online(&config.server) {
            true => message!(CheckJunkRule, user = user),
            false => message!(CheckJunkFilter),
        };
        notes.warn(format!("{bounces}\n{}", filter.in_language(language)));
    }
    Ok(())
}

/// The folder with the special use, else Exchange's by its name, which depends on the mailbox's language.
fn junk_folder(folders: &Folders) -> Option<String> {
    let by_name = || {
        let found = JUNK.iter().map(|name| folders.resolve(name)).find(|folder| folder.exists);
        found.map(|folder| folder.name)
    };
    folders.junk.clone().or_else(by_name)
}

fn folders(run: &Run, config: &MailboxConfig, session: &mut Session<()>, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    // STATUS is not for the selected folder (RFC 9051 §6.3.11), and no target is the inbox.
    let inbox = session.folders.resolve(&config.folders.inbox).name;
    done(Step::Select, &session.reselect(&inbox, true, ())?)?;
    for (key, configured) in targets(config) {
        let folder = session.folders.resolve(configured);
        let name = readable(&folder.name);
        if folder.name.eq_ignore_ascii_case(&inbox) {
            let said = message!(MailboxTargetIsInbox, key = &key, folder = configured);
            return Err(Failure::own(Step::Folders, Kind::Configuration, said).key(key));
        }
        if !folder.exists {
            notes.see(message!(CheckFolderMissing, name = name, key = key).in_language(language));
            continue;
        }
        let (condition, Counts { messages, .. }) = session.counts(&folder.name, ())?;
        done(Step::Folders, &condition).map_err(|failure| failure.key(&key))?;
        let count = messages.unwrap_or_default();
        notes.see(format!("{name}: {}", mails(count, language)));
        if count > NEARLY_FULL {
            notes
                .warn(message!(CheckFolderFull, name = name, count = count, key = key).in_language(language));
        }
    }
    Ok(())
}

fn mails(count: u64, language: Language) -> String {
    message!(CountMails, number = count).in_language(language)
}

/// Exchange's names in English and German, and what other servers use.
const JUNK: [&str; 5] = ["Junk Email", "Junk E-Mail", "Junk-E-Mail", "Junk", "Spam"];
/// "Exchange Online limits", mailbox folder limits.
const NEARLY_FULL: u64 = 900_000;
