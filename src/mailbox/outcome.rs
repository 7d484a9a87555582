//! Outcomes → what is done with a message in this configuration.

use super::message::Outcome;
use crate::config::{MailboxConfig, keys};
use crate::engine::record::Action;

/// Returns what an outcome means; `None`: nothing is done.
pub(super) fn action(outcome: Outcome, config: &MailboxConfig) -> Option<Action> {
    let folders = &config.folders;
    let own = match outcome {
        Outcome::HardBounce => &folders.hardbounce,
        Outcome::SoftBounce => &folders.softbounce,
        Outcome::AutoRespond => &folders.autorespond,
        Outcome::Unsubscribe => &folders.unsubscribe,
        Outcome::Spam => &folders.spam,
        Outcome::Handled => &None,
        Outcome::Unrecognised => return Some(Action::Move(folders.error.clone())),
        Outcome::Keep => return None,
        Outcome::KeepRead => return Some(Action::MarkSeen),
    };
    Some(if config.debug {
        Action::Move(own.as_ref().unwrap_or(&folders.debug).clone())
    } else {
        Action::Delete
    })
}

/// Returns the folders to which outcomes lead, each with the property that names it.
pub(crate) fn targets(config: &MailboxConfig) -> Vec<(String, &str)> {
    let folders = &config.folders;
    let mut targets = vec![(&keys::FOLDER_ERROR, Some(&folders.error))];
    if config.debug {
        targets.extend([
            (&keys::FOLDER_DEBUG, Some(&folders.debug)),
            (&keys::FOLDER_HARDBOUNCE, folders.hardbounce.as_ref()),
            (&keys::FOLDER_SOFTBOUNCE, folders.softbounce.as_ref()),
            (&keys::FOLDER_AUTORESPOND, folders.autorespond.as_ref()),
            (&keys::FOLDER_UNSUBSCRIBE, folders.unsubscribe.as_ref()),
            (&keys::FOLDER_SPAM, folders.spam.as_ref()),
        ]);
    }
    let name = |key: &keys::Key| config.names.written(key.name);
    targets.into_iter().filter_map(|(key, folder)| Some((name(key), folder?.as_str()))).collect()
}
