//! `document`: pages that are made from the program itself, for those who package it.

use std::fs;
use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::Shell;
use um_imap_oauth2::config::{self, Language};
use um_imap_oauth2::failure::{Failure, Kind, Result, Step};
use um_imap_oauth2::message;
use um_imap_oauth2::text;

use super::{Exit, finish, help};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    page: Page,
    /// The directory for the pages of `man`.
    #[arg(long, value_name = "DIR", required_if_eq("page", "man"))]
    to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    Properties,
    #[value(name = "properties.de")]
    PropertiesGerman,
    Troubleshooting,
    #[value(name = "troubleshooting.de")]
    TroubleshootingGerman,
    /// Manual pages for the program and each of its commands.
    Man,
    #[value(name = "completions.bash")]
    Bash,
    #[value(name = "completions.zsh")]
    Zsh,
    #[value(name = "completions.fish")]
    Fish,
    #[value(name = "completions.powershell")]
    PowerShell,
}

/// Prints a page. Manual pages and completions are in English.
pub fn run(arguments: &Arguments, command: clap::Command) -> Exit {
    let command = help::in_language(command, Language::English);
    let page = match arguments.page {
        Page::Properties => Ok(config::document(Language::English)),
        Page::PropertiesGerman => Ok(config::document(Language::German)),
        Page::Troubleshooting => Ok(text::document(Language::English)),
        Page::TroubleshootingGerman => Ok(text::document(Language::German)),
        Page::Man => manual(&command, arguments),
        Page::Bash => Ok(completions(Shell::Bash, command)),
        Page::Zsh => Ok(completions(Shell::Zsh, command)),
        Page::Fish => Ok(completions(Shell::Fish, command)),
        Page::PowerShell => Ok(completions(Shell::PowerShell, command)),
    };
    finish(page, Exit::Well, Language::English)
}

fn completions(shell: Shell, mut command: clap::Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes one page for the program and one for each command. Returns their names.
fn manual(command: &clap::Command, arguments: &Arguments) -> Result<String> {
    let Some(directory) = &arguments.to else { return Ok(String::new()) };
    let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    let commands = commands.map(|sub| sub.clone().name(format!("{NAME}-{}", sub.get_name())));
    let mut pages = String::new();
    for command in std::iter::once(command.clone()).chain(commands) {
        let path = directory.join(format!("{}.1", command.get_name()));
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(command).render(&mut page).and_then(|()| fs::write(&path, page));
        written.map_err(|error| {
            let said = message!(FileFailed, path = path.display(), error = error.to_string());
            Failure::own(Step::Storage, Kind::Storage, said)
        })?;
        pages += &format!("{}\n", path.display());
    }
    Ok(pages)
}

const NAME: &str = "um-imap-oauth2";
