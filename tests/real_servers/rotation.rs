//! A secret that is replaced in UM's files while the mailbox is open.

use std::fs;

use um_imap_oauth2::config;
use um_imap_oauth2::failure::Kind;

use crate::support::{Account, Opened, mails, server};

const SECRET: &str = "cmsbs.mail.imap.oauth2.clientSecret";

#[test]
fn a_secret_in_a_file_of_its_own_is_used_as_soon_as_it_is_right() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "wrong").unwrap();
    let path = file.path().to_str().unwrap();
    let account = Account::new().with_mails(&mails(2)).without(SECRET).with(&format!("{SECRET}$file"), path);
    let opened = account.open();
    assert_eq!(opened.fetch().unwrap_err().kind, Kind::Token);
    assert!(!renew(&opened, &account), "the file is as it was");
    assert_eq!(opened.fetch().unwrap_err().kind, Kind::Token);

    fs::write(file.path(), server("UM_TEST_SECRET")).unwrap();
    assert!(renew(&opened, &account));
    assert_eq!(opened.read().len(), 2);
    account.holds_no_secret(&opened.said().join("\n"));
}

/// As a caller does after a refusal.
fn renew(opened: &Opened, account: &Account) -> bool {
    let fresh = config::from_um_home(account.um_home(), None, &|_| None).unwrap().config;
    opened.renew(&fresh.authentication)
}
