//! Finds out the width and the colours of the terminal.

use std::io::{self, IsTerminal};

use terminal_size::{Width, terminal_size_of};
use um_imap_oauth2::text::Layout;

/// Returns the layout for stdout.
pub fn out() -> Layout {
    of(&io::stdout())
}

/// Returns the layout for stderr.
pub fn err() -> Layout {
    of(&io::stderr())
}

#[cfg(unix)]
fn of(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Layout {
    layout(stream.is_terminal(), terminal_size_of(stream).map(|(width, _)| width))
}

#[cfg(windows)]
fn of(stream: &(impl IsTerminal + std::os::windows::io::AsHandle)) -> Layout {
    layout(stream.is_terminal(), terminal_size_of(stream).map(|(width, _)| width))
}

/// Lines are wrapped for people only: programs and files get each paragraph as one line.
fn layout(terminal: bool, width: Option<Width>) -> Layout {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    Layout {
        width: width.filter(|_| terminal).map(|Width(columns)| usize::from(columns)),
        colour: terminal && colour,
    }
}
