//! `--help` and what is said about wrong arguments, in the user's language, from the table of texts.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, Error};
use um_imap_oauth2::config::Language;
use um_imap_oauth2::message;
use um_imap_oauth2::text::Id;

/// Writes the texts of this language into a command and all below it.
pub fn in_language(mut command: Command, language: Language) -> Command {
    command = program(command, language).mut_subcommands(|sub| one(sub, language));
    // Options for all commands reach them, and usages are complete, only now.
    command.build();
    command = command.mut_subcommand("help", |sub| one(sub, language));
    with_usage(command.mut_subcommands(|sub| with_usage(sub, language)), language)
}

/// Says what is wrong with the arguments, in one sentence.
pub fn misuse(error: &Error, language: Language) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    let said = match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let arguments = list(error.get(ContextKind::InvalidArg));
            message!(MisuseMissing, arguments = arguments)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = context(ContextKind::InvalidValue);
            match list(error.get(ContextKind::ValidValue)) {
                _ if value.is_empty() => message!(MisuseNoValue, argument = argument),
                values if values.is_empty() => message!(MisuseValue, value = value, argument = argument),
                values => message!(MisuseValueOf, value = value, argument = argument, values = values),
            }
        }
        ErrorKind::UnknownArgument => match context(ContextKind::SuggestedArg) {
            similar if similar.is_empty() => message!(MisuseUnknown, argument = argument),
            similar => message!(MisuseUnknownSimilar, argument = argument, similar = similar),
        },
        ErrorKind::InvalidSubcommand => {
            message!(MisuseCommand, command = context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => message!(MisuseNoCommand),
        ErrorKind::ArgumentConflict => message!(MisuseTwice, argument = argument),
        _ => message!(MisuseOther),
    };
    said.in_language(language)
}

/// The text of a row of the table whose name is made at run time, if there is one.
fn text(name: &str, language: Language) -> Option<String> {
    Id::named(name).map(|id| id.message().in_language(language))
}

fn list(value: Option<&ContextValue>) -> String {
    match value {
        Some(ContextValue::Strings(values)) => values.join(", "),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

fn program(command: Command, language: Language) -> Command {
    let after = text("help-program-after", language).unwrap_or_default();
    let about = text("help-program", language).unwrap_or_default();
    let command = command.about(about).after_help(after);
    let version = Arg::new("version").short('V').long("version").action(ArgAction::Version);
    let version = version.help(text("help-option-version", language).unwrap_or_default());
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).global(true);
    command.disable_help_flag(true).disable_version_flag(true).arg(help).arg(version)
}

fn one(mut command: Command, language: Language) -> Command {
    let name = command.get_name().to_owned();
    let about = text(&format!("help-{name}"), language).unwrap_or_default();
    if let Some(long) = text(&format!("help-{name}-long"), language) {
        command = command.long_about(format!("{about}\n\n{long}"));
    }
    if let Some(after) = text(&format!("help-{name}-after"), language) {
        command = command.after_help(after);
    }
    command.about(about)
}

/// Writes the headings, the usage and the options of one command.
fn with_usage(mut command: Command, language: Language) -> Command {
    let word = |id: Id| id.sentence(language);
    let name = command.get_name().to_owned();
    let usage = plain(command.render_usage());
    let usage = usage.trim_start_matches("Usage:").trim();
    let usage = usage.replace("[OPTIONS]", word(Id::HelpWordOptions));
    let usage = usage.replace("COMMAND", word(Id::HelpWordCommand));
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{} {{usage}}\n\n{{all-args}}{{after-help}}",
        word(Id::HelpHeadingUsage)
    );
    let options = word(Id::HelpHeadingOptions);
    command = command
        .override_usage(usage)
        .help_template(template)
        .subcommand_help_heading(word(Id::HelpHeadingCommands))
        .subcommand_value_name(word(Id::HelpWordCommand));
    command.mut_args(|argument| {
        let help = help_of(&argument, &name, language);
        let argument = argument.hide_possible_values(true).hide_default_value(true).help_heading(options);
        match help {
            Some(help) => argument.help(help),
            None => argument,
        }
    })
}

/// The text of an option, with its values and its default at the end.
fn help_of(argument: &Arg, command: &str, language: Language) -> Option<String> {
    let option = argument.get_long().unwrap_or_default();
    let own = text(&format!("help-{command}-{option}"), language);
    let mut help = own.or_else(|| text(&format!("help-option-{option}"), language))?;
    if argument.get_action().takes_values() {
        let values = argument.get_possible_values();
        let values: Vec<_> = values.iter().map(|value| value.get_name()).collect();
        if !values.is_empty() {
            help += " ";
            help += &message!(MisuseValues, values = values.join(", ")).in_language(language);
        }
        // The text of this option says what its default is.
        if option != "um-home"
            && let [default] = argument.get_default_values()
        {
            help += " ";
            let default = default.to_string_lossy().into_owned();
            help += &message!(MisuseDefault, value = default).in_language(language);
        }
    }
    Some(help)
}

fn plain(text: StyledStr) -> String {
    text.to_string()
}
