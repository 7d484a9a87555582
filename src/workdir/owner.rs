//! The process that holds a lock, as the next one sees it.

use std::fs;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Describes a process that holds or wants a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub program: String,
    pub pid: u32,
    pub host: String,
    /// When it took the lock (UTC).
    pub since: String,
    /// When the process was started, in ticks since the system was. It tells two processes with one number apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The user whose rights it has; `None` on Windows.
    #[serde(skip)]
    pub user: Option<u32>,
}

impl Process {
    /// Describes the process that runs this code.
    pub(super) fn current() -> Self {
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(|path| path.file_name());
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.or_else(|| std::env::var("COMPUTERNAME").ok());
        #[cfg(unix)]
        let user = Some(rustix::process::geteuid().as_raw());
        #[cfg(not(unix))]
        let user = None;
        Self {
            program: program.map_or_else(|| "?".to_owned(), |name| name.to_string_lossy().into_owned()),
            pid: std::process::id(),
            host: host.map_or_else(|| "?".to_owned(), |name| name.trim().to_owned()),
            since: DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true),
            started: started(),
            user,
        }
    }

    /// Says whether both are one process.
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, &self.host, self.started) == (other.pid, &other.host, other.started)
    }
}

/// Reads `starttime` (proc_pid_stat(5)). The name before it may contain anything, but ends with the last parenthesis.
fn started() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}
