//! `config`: what is configured, where each value comes from, and what is odd about it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use um_imap_oauth2::config::{self, Language};

/// Print every effective value of each mailbox, where it comes from, and everything that is wrong or odd
#[derive(Debug, clap::Args)]
pub struct Args {
    /// UM's directory, which contains cmsbs-conf/cmsbs.properties
    #[arg(long, value_name = "DIR", required_unless_present = "document")]
    um_home: Option<PathBuf>,
    /// This listener alone (cmsbs.bounce.listeners), not every mailbox
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The language of messages; without it cmsbs.lang
    #[arg(long)]
    lang: Option<Lang>,
    /// Print docs/properties.md
    #[arg(long, hide = true)]
    document: bool,
}

/// Succeeds where no mailbox is refused.
pub fn run(args: Args) -> ExitCode {
    let (text, usable) = if args.document {
        (config::document(), true)
    } else {
        let language = args.lang.map(|lang| match lang {
            Lang::De => Language::German,
            Lang::En => Language::English,
        });
        let um_home = args.um_home.as_deref().unwrap_or(Path::new("."));
        let environment = |name: &str| std::env::var(name).ok();
        let report = match config::report(um_home, args.listener.as_deref(), &environment, language) {
            Ok(report) => report,
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        };
        let text = match args.json {
            true => serde_json::to_string_pretty(&report).map(|json| format!("{json}\n")),
            false => Ok(report.to_string()),
        };
        match text {
            Ok(text) => (text, report.is_usable()),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    };
    // Who closes the pipe has read enough.
    let written = std::io::stdout().write_all(text.as_bytes()).is_ok();
    if written && usable { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lang {
    De,
    En,
}
