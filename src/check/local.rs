//! What can be seen without the network.

use super::{Notes, Run, text};
use crate::config::{
    Authentication, Credential, Loaded, MailboxConfig, Security, Severity, keys, others_can_read,
};
use crate::failure::Result;
use crate::mailbox;
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
        Security::Plain => text!(language, "no encryption", "keine Verschlüsselung"),
    };
    let login = match &config.authentication {
        Authentication::Password(_) => text!(language, "user and password", "Benutzer und Kennwort"),
        Authentication::OAuth2(oauth2) => match &oauth2.credential {
            Credential::ClientSecret(_) => {
                text!(language, "OAuth2 with a client secret", "OAuth2 mit einem geheimen Clientschlüssel")
            }
            Credential::Certificate { .. } => {
                text!(language, "OAuth2 with a certificate", "OAuth2 mit einem Zertifikat")
            }
            Credential::AssertionFile(_) => {
                text!(language, "OAuth2 with an assertion file", "OAuth2 mit einer Assertion-Datei")
            }
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
                notes.warn(text!(
                    language,
                    "Every user of this machine can read {shown}, in which the credential stands: `chmod o-r {shown}`.",
                    "Jeder Benutzer dieses Rechners kann {shown} lesen, worin die Anmeldedaten stehen: `chmod o-r {shown}`."
                ));
            }
        }
    }
    if let Some(directory) = config.tmp_directory.as_ref().filter(|directory| !directory.is_dir()) {
        let (shown, key) = (directory.display(), run.written(&keys::TMP));
        notes.warn(text!(
            language,
            "{key} = {shown} is no directory: a mail larger than the buffer cannot be read. Make it, or take the line out.",
            "{key} = {shown} ist kein Verzeichnis: Eine Mail, die größer ist als der Puffer, kann nicht gelesen werden. Legen Sie es an, oder entfernen Sie die Zeile."
        ));
    }
    if let Some(obstacle) = mailbox::obstacle(config) {
        notes.warn(text!(
            language,
            "{obstacle}. Without lock and journal there a second reader of the mailbox would not be noticed, and after a crash the last second's decisions come again. Make the directory, or let the account of Universal Messenger write there.",
            "{obstacle}. Ohne Sperre und Journal dort würde ein zweiter Leser des Postfachs nicht bemerkt, und nach einem Absturz kommen die Entscheidungen der letzten Sekunde wieder. Legen Sie das Verzeichnis an, oder lassen Sie das Konto des Universal Messenger dort schreiben."
        ));
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
        text!(
            language,
            "{key} = true: it is moved, to {debug} or the folder of its kind",
            "{key} = true: Sie werden verschoben, nach {debug} oder in den Ordner ihrer Art"
        )
    } else {
        text!(
            language,
            "{key} is not true: it is DELETED when UM has handled it",
            "{key} ist nicht true: Sie werden GELÖSCHT, wenn UM sie bearbeitet hat"
        )
    });
    notes.see(text!(
        language,
        "What UM does not recognise is moved to {error}",
        "Was UM nicht erkennt, wird nach {error} verschoben"
    ));
    Ok(())
}
