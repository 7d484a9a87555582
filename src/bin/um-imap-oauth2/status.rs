//! `status`: how UM's mailboxes are doing, for people and for monitoring systems.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::time::SystemTime;
use std::{fmt, fs, io};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use um_imap_oauth2::config::{self, Language, MailboxConfig};
use um_imap_oauth2::failure::Failure;
use um_imap_oauth2::mailbox::{Grade, Health, STATUS, Status, place};
use um_imap_oauth2::message;
use um_imap_oauth2::sanitize;
use um_imap_oauth2::text::{Arg, Layout, Message};

use super::{
    EveryMailbox, Exit, WorkDirectory, environment, in_words, json, print, say, terminal, unconfigured,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub of: EveryMailbox,
    #[command(flatten)]
    work: WorkDirectory,
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    max_age: u32,
    #[arg(long)]
    json: bool,
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
}

pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let home = &arguments.of.um_home;
    let wanted = arguments.of.listener.as_deref();
    let now = SystemTime::now().into();
    let max_age = TimeDelta::minutes(arguments.max_age.into());
    let layout = match terminal::out() {
        // Lines are indented below the first.
        Layout { width: Some(width), .. } if !arguments.json => {
            Layout { width: Some(width.saturating_sub(INDENT.len())), colour: false }
        }
        _ => Layout::default(),
    };
    let state = |listener, found| State { listener, language, now, max_age, layout, found };
    let states = match config::report(home, wanted, &environment, Some(language)) {
        Ok(report) => {
            let listeners = report.mailboxes.into_iter().map(|mailbox| mailbox.listener);
            let one = |listener: Option<String>| {
                let of = listener.as_deref();
                let loaded = config::from_um_home_in(Some(language), home, of, &environment);
                let refused = |failure| Unknown::Refused(unconfigured(failure, of, language));
                let found = loaded.map_err(refused).and_then(|mut loaded| {
                    arguments.work.replace(&mut loaded.config);
                    read(&loaded.config)
                });
                state(listener, found)
            };
            listeners.map(one).collect()
        }
        Err(failure) => {
            let unread = Unknown::NoProperties(unconfigured(failure, wanted, language));
            vec![state(wanted.map(str::to_owned), Err(unread))]
        }
    };
    let text = match (arguments.json, arguments.prometheus) {
        (true, _) => json(&states),
        (_, true) => Ok(prometheus(&states)),
        _ => {
            // Nagios and its like show the first line alone.
            let mut states: Vec<_> = states.iter().collect();
            states.sort_by_key(|state| Reverse(state.level()));
            Ok(states.into_iter().map(ToString::to_string).collect())
        }
    };
    let worst = states.iter().map(State::level).max().unwrap_or(Level::Unknown);
    match text.and_then(|text| print(&text, language)) {
        Ok(()) => worst.into(),
        Err(failure) => {
            say(&in_words(&failure, language, &terminal::err()));
            Level::Unknown.into()
        }
    }
}

/// Says that the arguments are of no use, in the way of monitoring systems.
pub fn misused(what: &str) -> Exit {
    // Whoever does not get this line gets the exit code.
    let _ = print(&format!("UNKNOWN - {}\n", one_line(what)), Language::English);
    Level::Unknown.into()
}

/// What a mailbox left behind.
fn read(config: &MailboxConfig) -> Result<Status<Health>, Unknown> {
    let place = place(config).ok_or(Unknown::NoPlace)?;
    let path = place.join(STATUS);
    let unreadable = |error: &dyn fmt::Display| {
        Unknown::Unreadable(message!(FileFailed, path = path.display(), error = error.to_string()))
    };
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unknown::NoFile(path)),
        text => text.map_err(|error| unreadable(&error))?,
    };
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

/// How one mailbox is doing.
struct State {
    listener: Option<String>,
    language: Language,
    now: DateTime<Utc>,
    max_age: TimeDelta,
    layout: Layout,
    found: Result<Status<Health>, Unknown>,
}

/// Why nothing is known of a mailbox.
enum Unknown {
    /// Its configuration is wrong: UM cannot read it either.
    Refused(Failure),
    /// Nothing is known of any mailbox.
    NoProperties(Failure),
    NoPlace,
    NoFile(PathBuf),
    Unreadable(Message),
}

/// As monitoring systems know them, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Unknown,
    Critical,
}

impl State {
    fn level(&self) -> Level {
        match &self.found {
            Err(Unknown::Refused(_)) => Level::Critical,
            Err(_) => Level::Unknown,
            Ok(_) if self.silence().is_some() => Level::Critical,
            Ok(status) => match status.health.state {
                Grade::Well => Level::Ok,
                Grade::Warning => Level::Warning,
                Grade::Failing => Level::Critical,
            },
        }
    }

    /// For how long nothing was heard of a mailbox, if that is too long.
    fn silence(&self) -> Option<TimeDelta> {
        let silence = self.now - self.found.as_ref().ok()?.written;
        (silence > self.max_age).then_some(silence)
    }

    /// What there is to say, the heading first.
    fn lines(&self) -> Vec<String> {
        let status = match &self.found {
            Ok(status) => status,
            Err(unknown) => return vec![self.unknown(unknown)],
        };
        let health = &status.health;
        let mut lines = Vec::new();
        if let Some(silence) = self.silence() {
            lines.push(message!(StatusSilent, time = ago(silence)));
        }
        if let Some(since) = health.failing_since {
            lines.push(message!(StatusFailing, failures = health.failures, since = since));
        }
        if let Some(until) = health.throttled_until.filter(|until| *until > self.now) {
            lines.push(message!(StatusThrottled, until = until));
        }
        if health.pending > 0 {
            lines.push(message!(StatusPending, mails = health.pending));
        }
        if health.set_aside > 0 {
            lines.push(message!(StatusSetAside, mails = health.set_aside));
        }
        if let Some(day) = health.credential_ends {
            lines.push(message!(StatusCredentialEnds, day = day));
        }
        let last = match health.last_success {
            Some(time) => message!(StatusLastRead, time = time, ago = ago(self.now - time)),
            None => message!(StatusNotRead),
        };
        let heading = message!(StatusOf, mailbox = &health.mailbox, text = last);
        let lines = [heading].into_iter().chain(lines).map(|line| line.in_language(self.language));
        let failures = health.failure.iter().chain(&health.warnings);
        lines.chain(failures.map(|failure| in_words(failure, self.language, &self.layout))).collect()
    }

    fn unknown(&self, unknown: &Unknown) -> String {
        let mailbox = match &self.listener {
            Some(listener) => Arg::from(listener),
            None => message!(StatusPrimary).into(),
        };
        let text = match unknown {
            Unknown::NoProperties(failure) => return one_line(&failure.to_string()),
            // For the first line.
            Unknown::Refused(failure) => {
                let first = failure.observed.lines().next().unwrap_or_default();
                Arg::lines(&format!("{first}\n{}", in_words(failure, self.language, &self.layout)))
            }
            Unknown::NoPlace => message!(StatusNoDirectory).into(),
            Unknown::NoFile(path) => message!(StatusNoFile, path = path.display()).into(),
            Unknown::Unreadable(why) => why.clone().into(),
        };
        message!(StatusOf, mailbox = mailbox, text = text).in_language(self.language)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level() {
            Level::Ok => "OK",
            Level::Warning => "WARNING",
            Level::Unknown => "UNKNOWN",
            Level::Critical => "CRITICAL",
        };
        // Nagios takes what follows a | for performance data.
        let text =
            sanitize::lines(self.lines().join("\n")).replace('\n', &format!("\n{INDENT}")).replace('|', "¦");
        writeln!(f, "{level} - {text}")
    }
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            listener: Option<&'a str>,
            level: Level,
            /// As in status.json; none where nothing is known.
            status: Option<&'a Status<Health>>,
            unknown: Option<String>,
        }
        Json {
            listener: self.listener.as_deref(),
            level: self.level(),
            status: self.found.as_ref().ok(),
            unknown: self.found.as_ref().err().map(|unknown| sanitize::lines(self.unknown(unknown))),
        }
        .serialize(serializer)
    }
}

impl From<Level> for Exit {
    fn from(level: Level) -> Self {
        match level {
            Level::Ok => Exit::Well,
            Level::Warning => Exit::Warnings,
            Level::Critical => Exit::Failed,
            // The number that monitoring systems have for it.
            Level::Unknown => Exit::TryLater,
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes the text format of Prometheus ("Exposition formats", version 0.0.4), for the textfile collector of node_exporter.
/// There are no times of samples, which that collector refuses.
fn prometheus(states: &[State]) -> String {
    let health = |state: &State| state.found.as_ref().ok().map(|status| status.health.clone());
    let seconds = |time: DateTime<Utc>| time.timestamp() as f64;
    type Value<'a> = &'a dyn Fn(&State) -> Option<f64>;
    let metrics: [(&str, &str, Value); 8] = [
        ("state", "0 is OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, as the exit code of status.", &|state| {
            Some(f64::from(Exit::from(state.level()).code()))
        }),
        ("status_written_timestamp_seconds", "When UM last wrote down how the mailbox is.", &|state| {
            state.found.as_ref().ok().map(|status| seconds(status.written))
        }),
        ("last_success_timestamp_seconds", "When the mailbox was last read.", &|state| {
            health(state)?.last_success.map(seconds)
        }),
        ("failures", "Fetches that failed in a row.", &|state| {
            health(state).map(|health| health.failures.into())
        }),
        ("pending_messages", "Messages whose decision the server has still to be told.", &|state| {
            health(state).map(|health| health.pending as f64)
        }),
        ("set_aside_messages", "Messages that the last fetch could not deliver.", &|state| {
            health(state).map(|health| health.set_aside as f64)
        }),
        ("throttled", "1 while the server asks to be left alone.", &|state| {
            health(state)
                .map(|health| f64::from(health.throttled_until.is_some_and(|until| until > state.now)))
        }),
        (
            "credential_ends_timestamp_seconds",
            "The last day of the client secret or certificate.",
            &|state| {
                health(state)?
                    .credential_ends
                    .map(|day| seconds(day.and_time(chrono::NaiveTime::MIN).and_utc()))
            },
        ),
    ];
    let mut text = String::new();
    for (name, help, value) in metrics {
        let name = format!("um_imap_oauth2_{name}");
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for state in states {
            let mailbox = sanitize::line(state.listener.as_deref().unwrap_or("primary"));
            let mailbox = mailbox.replace('\\', r"\\").replace('"', "\\\"");
            if let Some(value) = value(state) {
                text += &format!("{name}{{mailbox=\"{mailbox}\"}} {value}\n");
            }
        }
    }
    text
}

/// In the largest unit that fits.
fn ago(time: TimeDelta) -> Message {
    let number = |number: i64| number.unsigned_abs();
    match (time.num_days(), time.num_hours(), time.num_minutes()) {
        (days @ 3.., ..) => message!(AgoDays, number = number(days)),
        (_, hours @ 3.., _) => message!(AgoHours, number = number(hours)),
        (_, _, minutes @ 2..) => message!(AgoMinutes, number = number(minutes)),
        _ => message!(AgoSeconds, number = number(time.num_seconds())),
    }
}

/// Before all lines of a mailbox but the first.
const INDENT: &str = "  ";
