//! The command line.

mod check;
mod config;
mod directory;
mod document;
mod drain;
mod fetch;
mod help;
mod setup;
mod status;
mod terminal;
mod token;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use um_imap_oauth2::config::explain_unconfigured;
use um_imap_oauth2::config::keys::Names;
use um_imap_oauth2::config::{self as properties, Language, MailboxConfig, OAuth2};
use um_imap_oauth2::failure::{Failure, Kind, Result, Retry, Step};
use um_imap_oauth2::mailbox::was_read;
use um_imap_oauth2::message;
use um_imap_oauth2::net::environment_proxy;
use um_imap_oauth2::sanitize;
use um_imap_oauth2::text::{Id, Layout, label, on_first_use, parts};

fn main() -> ExitCode {
    // The text of a panic can hold anything, the content of a mail too.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let language = language_of(&environment).unwrap_or_default();
        say(&message!(CliInternalError, place = place).in_language(language));
    }));
    let given: Vec<_> = std::env::args_os().collect();
    let home = usual_home(&environment, Path::new("."));
    let at_first_sight = first_look(&given, home.as_deref(), &environment);
    let command = help::in_language(with_home(Arguments::command(), home.as_deref()), at_first_sight);
    let matches = command.try_get_matches_from(given);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error, at_first_sight),
    };
    let wanted = match arguments.lang {
        Some(Lang::De) => Some(Language::German),
        Some(Lang::En) => Some(Language::English),
        None => language_of(&environment),
    };
    // Decided once, before anything can fail: else a failure and what is said around it are in two languages.
    let language = |um_home: &Path| wanted.unwrap_or_else(|| configured_language(um_home, &environment));
    match arguments.command {
        Command::Check(arguments) => check::run(&arguments, language(&arguments.of.um_home)),
        Command::Config(arguments) => config::run(&arguments, language(&arguments.of.um_home)),
        Command::Document(arguments) => document::run(&arguments, Arguments::command()),
        Command::Drain(arguments) => drain::run(&arguments, language(&arguments.of.um_home)),
        Command::Fetch(arguments) => fetch::run(&arguments, language(&arguments.of.um_home)),
        Command::Setup(arguments) => setup::run(&arguments, language(&arguments.of.um_home)),
        Command::Status(arguments) => status::run(&arguments, language(&arguments.of.um_home)),
        Command::Token(arguments) => token::run(&arguments, language(&arguments.of.um_home)),
    }
    .into()
}

/// Returns where UM is if `--um-home` does not say: `UM_HOME`, or the current directory if it looks like it.
fn usual_home(environment: &dyn Fn(&str) -> Option<String>, current: &Path) -> Option<PathBuf> {
    let set = environment("UM_HOME").filter(|set| !set.is_empty()).map(PathBuf::from);
    set.or_else(|| current.join("cmsbs-conf").is_dir().then(|| current.to_owned()))
}

/// Makes `home` the default of every `--um-home`.
fn with_home(command: clap::Command, home: Option<&Path>) -> clap::Command {
    let Some(home) = home else { return command };
    command.mut_subcommands(|sub| {
        sub.mut_args(|argument| match argument.get_id() == "um_home" {
            true => argument.required(false).default_value(home.as_os_str().to_owned()),
            false => argument,
        })
    })
}

/// Prints the help that was asked for, or says what is wrong with the arguments.
fn misused(error: &clap::Error, language: Language) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    if status_is_asked_for() {
        return status::misused(&help::misuse(error, language)).into();
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let what = help::misuse(error, language);
    say(&message!(MisuseError, what = what).in_language(language));
    say(&message!(MisuseMore).in_language(language));
    Exit::Failed.into()
}

/// Whether the command is `status`, whatever is wrong with the arguments.
fn status_is_asked_for() -> bool {
    let matches = Arguments::command().ignore_errors(true).try_get_matches();
    matches.is_ok_and(|matches| matches.subcommand_name() == Some("status"))
}

/// The language before the arguments are understood: that of `--lang`, of the environment, or of the properties in `--um-home` or
/// `home`.
fn first_look(
    given: &[OsString],
    home: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Language {
    let value = |option: &str| {
        given.iter().enumerate().find_map(|(at, argument)| {
            let argument = argument.to_str()?.strip_prefix(option)?;
            match argument.strip_prefix('=') {
                Some(value) => Some(OsString::from(value)),
                None if argument.is_empty() => given.get(at + 1).cloned(),
                None => None,
            }
        })
    };
    match value("--lang").as_deref().and_then(OsStr::to_str) {
        Some("de") => return Language::German,
        Some("en") => return Language::English,
        _ => {}
    }
    language_of(environment).unwrap_or_else(|| {
        let home = value("--um-home").map(PathBuf::from).or_else(|| home.map(Path::to_owned));
        home.map_or(Language::English, |home| configured_language(&home, environment))
    })
}

#[derive(Parser)]
#[command(
    name = "um-imap-oauth2",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("UM_IMAP_OAUTH2_TARGET"), ")"),
)]
struct Arguments {
    #[arg(long, global = true)]
    lang: Option<Lang>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Config(config::Arguments),
    #[command(hide = true)]
    Document(document::Arguments),
    Drain(drain::Arguments),
    Fetch(fetch::Arguments),
    Setup(setup::Arguments),
    Status(status::Arguments),
    Token(token::Arguments),
}

#[derive(Debug, clap::Args)]
struct EveryMailbox {
    #[arg(long, value_name = "DIR")]
    um_home: PathBuf,
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
}

#[derive(Debug, clap::Args)]
struct OneMailbox {
    #[arg(long, value_name = "DIR")]
    um_home: PathBuf,
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
}

#[derive(Debug, clap::Args)]
struct WorkDirectory {
    #[arg(long, value_name = "DIR")]
    work_directory: Option<PathBuf>,
}

impl WorkDirectory {
    fn replace(&self, config: &mut MailboxConfig) {
        if let Some(directory) = &self.work_directory {
            // It is looked for beside others, and above it.
            let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
            config.work_directory = Some(directory);
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lang {
    De,
    En,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Well,
    Warnings,
    Failed,
    TryLater,
    /// 128 + SIGINT, as shells have it.
    Interrupted,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Well => 0,
            Exit::Warnings => 1,
            Exit::Failed => 2,
            Exit::TryLater => 3,
            Exit::Interrupted => 130,
        }
    }

    /// What a failure means to whoever called the command.
    fn of(failure: &Failure) -> Self {
        match failure.retry {
            Retry::Never => Exit::Failed,
            Retry::Later | Retry::After(_) => Exit::TryLater,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Where no proxy is configured for the token request, the one that `HTTPS_PROXY` and `NO_PROXY` name.
fn by_proxy_of_environment(oauth2: &OAuth2, environment: &dyn Fn(&str) -> Option<String>) -> Result<OAuth2> {
    oauth2.clone().or_through(|host| environment_proxy(host, environment))
}

/// The failure of a command, which says so where trying again is of no use since it never worked.
fn by_what_worked(failure: Failure, config: &MailboxConfig) -> Failure {
    if was_read(config) { failure } else { on_first_use(failure, config.language) }
}

/// A failure because of which there is no configuration.
fn unconfigured(failure: Failure, listener: Option<&str>, language: Language) -> Failure {
    explain_unconfigured(failure, language, &Names::of(listener))
}

/// Returns the command `name` for the same mailboxes.
fn this_command(name: &str, option: Option<&str>, um_home: &Path, listener: Option<&str>) -> String {
    let mut words = vec!["um-imap-oauth2".to_owned(), name.to_owned()];
    words.extend(option.map(str::to_owned));
    words.extend(["--um-home".to_owned(), quoted(&um_home.display().to_string())]);
    words.extend(listener.iter().flat_map(|listener| ["--listener".to_owned(), quoted(listener)]));
    sanitize::line(words.join(" "))
}

/// Returns a word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "/._-:@\\".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if cfg!(windows) { format!("\"{word}\"") } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Says what failed, and ends so.
fn fail(failure: &Failure, language: Language) -> Exit {
    say(&in_words(failure, language, &terminal::err()));
    Exit::of(failure)
}

/// Each part of a failure on lines of its own.
fn in_words(failure: &Failure, language: Language, layout: &Layout) -> String {
    let step = layout.lines(&label(Id::LabelStep, language), failure.step.name());
    let text = step + &parts(failure, language, layout);
    text.trim_end().to_owned()
}

/// Prints what a command found, and ends with `exit` where that went well.
fn finish(text: Result<String>, exit: Exit, language: Language) -> Exit {
    match text.and_then(|text| print(&text, language)) {
        Ok(()) => exit,
        Err(failure) => fail(&failure, language),
    }
}

/// Prints on stdout. Who closes the pipe has read enough; any other reason is a failure, else half a report looks like a whole
/// one.
fn print(text: &str, language: Language) -> Result<()> {
    match write_out(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| unprintable(&error, language)),
    }
}

/// The same for what somebody waits for: here a pipe that was closed is a failure, too.
fn deliver(text: &str, language: Language) -> Result<()> {
    write_out(text).map_err(|error| unprintable(&error, language))
}

fn write_out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// The catalogue knows of files only, which lie elsewhere.
fn unprintable(error: &io::Error, language: Language) -> Failure {
    let (cause, remedy) = match error.kind() {
        io::ErrorKind::BrokenPipe => (message!(CliStdoutClosedCause), message!(CliStdoutClosedRemedy)),
        _ => (message!(CliStdoutFailedCause), message!(CliStdoutFailedRemedy)),
    };
    let said = message!(CliStdoutFailed, error = error.to_string());
    Failure::own(Step::Storage, Kind::Storage, said).explained_by(&cause, &remedy, language)
}

/// Indented, with a line break at the end.
fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map(|json| json + "\n").map_err(Failure::internal)
}

/// A line on stderr. Where nobody reads it any more, nothing can be done about that.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `cmsbs.lang`: also where a mailbox is refused, and where no file can be read but the environment has it.
fn configured_language(um_home: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Language {
    let name = properties::keys::LANG.name;
    match properties::report(um_home, None, environment, None) {
        Ok(report) => report.language(),
        Err(_) => {
            let set = environment(&name.replace('.', "__")).or_else(|| environment(name));
            let english = set.is_some_and(|language| language.eq_ignore_ascii_case("en"));
            if english { Language::English } else { Language::German }
        }
    }
}

/// The language of the environment (POSIX, "Environment Variables": LC_ALL before LC_MESSAGES before LANG), if it is one of
/// ours.
fn language_of(environment: &dyn Fn(&str) -> Option<String>) -> Option<Language> {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set)?;
    match locale.split(['_', '.', '@']).next()? {
        "de" => Some(Language::German),
        "en" => Some(Language::English),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use um_imap_oauth2::failure::{Kind, Step};

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_has_its_help_in_each_language_and_every_text_its_place() {
        let mut placed = std::collections::HashSet::new();
        for (language, examples, other) in
            [(Language::English, "Examples:", "Usage:"), (Language::German, "Beispiele:", "Aufruf:")]
        {
            let command = help::in_language(Arguments::command(), language);
            for mut command in command.get_subcommands().filter(|command| !command.is_hide_set()).cloned() {
                let name = command.get_name().to_owned();
                placed.extend(["", "-long", "-after"].map(|part| format!("help-{name}{part}")));
                for argument in command.get_arguments() {
                    let option = argument.get_long().unwrap_or_default();
                    if name != "help" {
                        assert!(argument.get_help().is_some(), "{name} --{option}");
                    }
                    placed.extend([format!("help-{name}-{option}"), format!("help-option-{option}")]);
                }
                if name != "help" {
                    let shown = command.render_long_help().to_string();
                    let example = format!("um-imap-oauth2 {name} --um-home");
                    assert!(shown.contains(examples) && shown.contains(&example), "{shown}");
                    assert!(shown.contains(other), "{shown}");
                }
            }
        }
        placed.extend(["help-program", "help-program-after", "help-option-version"].map(str::to_owned));
        let named_in_code = ["help-heading-", "help-word-"];
        for id in Id::ALL.iter().map(|id| id.name()).filter(|name| name.starts_with("help-")) {
            let in_code = named_in_code.iter().any(|prefix| id.starts_with(prefix));
            assert!(in_code || placed.contains(id), "{id} is nowhere");
        }
    }

    #[test]
    fn the_first_look_takes_the_argument_before_the_environment_before_the_properties() {
        let look = |given: &[&str], lang: Option<&str>| {
            let given: Vec<_> = given.iter().map(OsString::from).collect();
            first_look(&given, None, &|name| lang.filter(|_| name == "LANG").map(str::to_owned))
        };
        assert_eq!(look(&["--lang", "de"], Some("en_GB")), Language::German);
        assert_eq!(look(&["--lang=en", "--foo"], Some("de_DE")), Language::English);
        assert_eq!(look(&["--help"], Some("de_DE.UTF-8")), Language::German);
        assert_eq!(look(&["--help"], None), Language::English);
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("cmsbs-conf")).unwrap();
        std::fs::write(home.path().join("cmsbs-conf/cmsbs.properties"), "cmsbs.lang = de\n").unwrap();
        assert_eq!(look(&["check", "--um-home", home.path().to_str().unwrap()], None), Language::German);
    }

    #[test]
    fn um_home_need_not_be_given_where_the_environment_or_the_current_directory_tells() {
        let um = tempfile::tempdir().unwrap();
        std::fs::create_dir(um.path().join("cmsbs-conf")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let set = |name: &str| (name == "UM_HOME").then(|| "/opt/um".to_owned());
        let unset = |_: &str| None;
        assert_eq!(usual_home(&set, um.path()).as_deref(), Some(Path::new("/opt/um")));
        assert_eq!(usual_home(&unset, um.path()).as_deref(), Some(um.path()));
        assert_eq!(usual_home(&unset, elsewhere.path()), None);
        let home = |given: &[&str]| {
            let command = with_home(Arguments::command(), Some(um.path()));
            let matches = command.try_get_matches_from(["um-imap-oauth2", "check"].iter().chain(given));
            match Arguments::from_arg_matches(&matches.unwrap()).unwrap().command {
                Command::Check(arguments) => arguments.of.um_home,
                _ => unreachable!("check was given"),
            }
        };
        assert_eq!(home(&[]), um.path());
        assert_eq!(home(&["--um-home", "/other"]), Path::new("/other"));
    }

    #[test]
    fn wrong_arguments_are_explained_in_the_users_language() {
        let said = |given: &[&str]| {
            [Language::English, Language::German].map(|language| {
                let command = help::in_language(Arguments::command(), language);
                let given = ["um-imap-oauth2"].iter().chain(given);
                help::misuse(&command.try_get_matches_from(given).unwrap_err(), language)
            })
        };
        let [english, german] = said(&["check"]);
        assert_eq!(english, "these arguments are missing: --um-home <DIR>");
        assert_eq!(german, "Diese Argumente fehlen: --um-home <DIR>");
        let [_, german] = said(&["status", "--um-home", "x", "--max-age", "soon"]);
        assert_eq!(german, "'soon' ist kein gültiger Wert für --max-age <MINUTES>");
        let [_, german] = said(&["check", "--lang", "fr"]);
        assert!(
            german.starts_with("'fr' ist kein gültiger Wert für --lang <LANG> [mögliche Werte: de, en"),
            "{german}"
        );
        let [_, german] = said(&["check", "--um-hom", "x"]);
        assert_eq!(german, "Unbekanntes Argument '--um-hom'; meinten Sie '--um-home'?");
        assert_eq!(said(&["foo"])[1], "Unbekannter Befehl 'foo'");
        assert_eq!(said(&["check", "--um-home"])[1], "--um-home <DIR> braucht einen Wert");
    }

    #[test]
    fn each_part_of_a_failure_has_a_line_of_its_own() {
        let failure = Failure::new(Step::Login, Kind::Login, "")
            .observing_lines(["NO AUTHENTICATE failed.", "BYE"])
            .key("cmsbs.mail.imap.user")
            .cause("Why.")
            .remedy("What to do.")
            .retry(Retry::After(Duration::from_secs(90)))
            .caused_by(Failure::new(Step::Token, Kind::Token, "HTTP 400"));
        assert_eq!(
            in_words(&failure, Language::English, &Layout::default()),
            "Step:        login\n\
             Observed:    NO AUTHENTICATE failed.\n             \
                          BYE\n\
             Property:    cmsbs.mail.imap.user\n\
             Cause:       Why.\n\
             Remedy:      What to do.\n\
             Retry:       Trying again can help, but not before 90 s have passed.\n\
             Caused by:   token: HTTP 400"
        );
        let german =
            in_words(&Failure::new(Step::Search, Kind::Refused, "BAD"), Language::German, &Layout::default());
        assert_eq!(german, "Schritt:     search\nBeobachtet:  BAD");
    }

    #[test]
    fn the_locale_decides_the_language_where_it_is_one_of_ours() {
        let language = |set: &[(&str, &str)]| {
            language_of(&|name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.to_string()))
        };
        assert_eq!(language(&[("LANG", "de_DE.UTF-8")]), Some(Language::German));
        assert_eq!(language(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "en")]), Some(Language::English));
        assert_eq!(language(&[("LANG", "en_GB"), ("LC_ALL", "")]), Some(Language::English));
        assert_eq!(language(&[("LANG", "C.UTF-8")]), None);
        assert_eq!(language(&[]), None);
    }

    #[test]
    fn what_can_succeed_later_is_told_from_what_cannot() {
        let exit = |retry| Exit::of(&Failure::new(Step::Connect, Kind::Network, "").retry(retry));
        assert_eq!(exit(Retry::Never), Exit::Failed);
        assert_eq!(exit(Retry::Later), Exit::TryLater);
        assert_eq!(exit(Retry::After(Duration::from_secs(1))), Exit::TryLater);
    }
}
