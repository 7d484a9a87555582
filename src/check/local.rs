//! What can be seen without the network.

use super::{Notes, Run};
use crate::config::{
    Authentication, Credential, Loaded, MailboxConfig, Security, Severity, keys, others_can_read,
};
use crate::failure::Result;
use crate::mailbox;
use crate::message;
use crate::net::{Anchors, Trust};
use crate::token;

/// The configuration, with what is odd about it.
pub(super) fn configuration<'a>(loaded: &'a Result<Loaded>, notes: &mut Notes) -> Result<&'a Loaded> {
    let loaded = loaded.as_ref().map_err(Clone::clone)?;
    let config = &loaded.config;
    let language = config.language;
    let encryption = match config.security {
        Security::Tls => "TLS".to_owned(),
        Security::StartTls => "STARTTLS".to_owned(),
        Security::Plain => message!(CheckNoEncryption).in_language(language),
    };
    let login = match &config.authentication {
        Authentication::Password(_) => message!(CheckByUserAndPassword).in_language(language),
        Authentication::OAuth2(oauth2) => match &oauth2.credential {
            Credential::ClientSecret(_) => message!(CheckBySecret).in_language(language),
            Credential::Certificate { .. } => message!(CheckByCertificate).in_language(language),
            Credential::AssertionFile(_) => message!(CheckByAssertion).in_language(language),
        },
    };
    notes.see(format!("{encryption}, {login}"));
    for finding in &loaded.findings {
        match finding.severity {
            Severity::Warning => notes.warn(&finding.text),
            Severity::Info => notes.see(&finding.text),
        }
    }
    Ok(loaded)
}

/// The files that the properties name, each as it will be needed. `trust` gets whom to trust, also where another file is of
/// no use.
pub(super) fn files(
    run: &Run,
    config: &MailboxConfig,
    anchors: Anchors,
    trust: &mut Option<Trust>,
    notes: &mut Notes,
) -> Result<()> {
    let language = run.language;
    *trust = Some(Trust::new(anchors, config.ca_file.as_deref())?);
    if let Some(file) = &config.ca_file {
        notes.see(format!("{} = {}", run.written(&keys::CA_FILE), file.display()));
    }
    if let Authentication::OAuth2(oauth2) = &config.authentication {
        token::expiry(oauth2)?;
        let file = match &oauth2.credential {
            Credential::ClientSecret(_) => None,
            Credential::Certificate { file, .. } => Some((file, &keys::CLIENT_CERTIFICATE)),
            Credential::AssertionFile(file) => Some((file, &keys::CLIENT_ASSERTION_FILE)),
        };
        if let Some((file, key)) = file {
            let (shown, key) = (file.display(), run.written(key));
            notes.see(format!("{key} = {shown}"));
            // Docker mounts secrets there for everybody; everybody is the container.
            if others_can_read(file) && !file.starts_with("/run/secrets") {
                notes.see(message!(CheckReadableByAll, path = &shown).in_language(language));
            }
        }
    }
    if let Some(directory) = config.tmp_directory.as_ref().filter(|directory| !directory.is_dir()) {
        let (shown, key) = (directory.display(), run.written(&keys::TMP));
        notes.warn(message!(CheckNoTmp, key = key, path = &shown).in_language(language));
    }
    if let Some(obstacle) = mailbox::obstacle(config) {
        notes.warn(message!(CheckNoWorkDirectory, obstacle = obstacle).in_language(language));
    }
    Ok(())
}

/// Whether mail that UM has handled stays somewhere.
pub(super) fn deletion(run: &Run, config: &MailboxConfig, notes: &mut Notes) -> Result<()> {
    let (language, key) = (run.language, run.written(&keys::BOUNCE_DEBUG));
    let folders = &config.folders;
    let error = &folders.error;
    notes.see(if config.debug {
        let debug = &folders.debug;
        message!(CheckMoved, key = key, folder = debug).in_language(language)
    } else {
        message!(CheckDeleted, key = key).in_language(language)
    });
    notes.see(message!(CheckUnrecognised, folder = error).in_language(language));
    Ok(())
}
