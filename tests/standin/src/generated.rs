//! Bounces that are a function of their number, so that a mailbox can have a million of them and hold none.

use crate::scenario::Generate;

/// The octets of the `n`-th generated mail (from 0): a delivery status report, each with its own recipient, reason and
/// Message-ID.
pub fn mail(spec: &Generate, n: u32) -> Vec<u8> {
    padded(report(n).into_bytes(), &format!("\r\n--=_{n:08}--\r\n"), size(spec, n))
}

fn report(n: u32) -> String {
    let (code, reason) = REASONS[n as usize % REASONS.len()];
    let class = if code.starts_with('5') { "failed" } else { "delayed" };
    let host = n % 977;
    format!(
        "Return-Path: <>\r\n\
         Received: from mx{host}.example.net (mx{host}.example.net [198.51.100.{byte}])\r\n\
         \tby mail.example.com with ESMTPS id G{n:08}\r\n\
         \tfor <bounces+{n}@example.com>; {date} +0000\r\n\
         From: Mail Delivery System <MAILER-DAEMON@mx{host}.example.net>\r\n\
         To: bounces+{n}@example.com\r\n\
         Subject: Undelivered Mail Returned to Sender\r\n\
         Date: {date} +0000\r\n\
         Message-ID: <G{n:08}@mx{host}.example.net>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\
         \tboundary=\"=_{n:08}\"\r\n\
         \r\n\
         This is a MIME-encapsulated message.\r\n\
         \r\n\
         --=_{n:08}\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\
         \r\n\
         Your message to <recipient{n}@example.net> {class}:\r\n\
         {reason}\r\n\
         \r\n\
         --=_{n:08}\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n\
         Reporting-MTA: dns; mx{host}.example.net\r\n\
         \r\n\
         Final-Recipient: rfc822; recipient{n}@example.net\r\n\
         Action: {class}\r\n\
         Status: {status}\r\n\
         Diagnostic-Code: smtp; {reason}\r\n\
         \r\n\
         --=_{n:08}\r\n\
         Content-Type: message/rfc822\r\n\
         \r\n\
         From: Newsletter <news@example.com>\r\n\
         To: recipient{n}@example.net\r\n\
         Subject: News of the week\r\n\
         Message-ID: <UM.{n}@example.com>\r\n\
         \r\n",
        byte = n % 251 + 1,
        date = date(n),
        status = code,
    )
}

/// Fills a mail up so that it has `size` octets with its end.
fn padded(mut mail: Vec<u8>, end: &str, size: usize) -> Vec<u8> {
    let filler =
        b"The quick brown fox jumps over the lazy dog, and what it says here does not matter at all.\r\n";
    mail.reserve(size.saturating_sub(mail.len()) + end.len());
    while mail.len() + end.len() < size {
        let room = size - mail.len() - end.len();
        mail.extend_from_slice(&filler[..room.min(filler.len())]);
    }
    mail.extend_from_slice(end.as_bytes());
    mail
}

/// When the `n`-th generated mail arrived, in seconds since 1970.
pub(crate) fn arrived(n: u32) -> i64 {
    FIRST_ARRIVAL + i64::from(n)
}

pub(crate) fn seen(spec: &Generate, n: u32) -> bool {
    spec.seen_every > 0 && (n + 1).is_multiple_of(spec.seen_every)
}

/// Octets that the mail is padded to; the headers alone may be more.
fn size(spec: &Generate, n: u32) -> usize {
    if spec.large_every > 0 && (n + 1).is_multiple_of(spec.large_every) { spec.large_size } else { spec.size }
}

fn date(n: u32) -> String {
    let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
    format!("Mon, 5 Jan 2026 {hour:02}:{minute:02}:{second:02}")
}

/// 2026-01-05 00:00:00 UTC.
const FIRST_ARRIVAL: i64 = 1_767_571_200;

const REASONS: [(&str, &str); 5] = [
    ("5.1.1", "550 5.1.1 The email account that you tried to reach does not exist."),
    ("5.2.2", "552 5.2.2 The recipient's mailbox is full and can't accept messages now."),
    ("4.4.1", "451 4.4.1 Connection timed out; the message is still in the queue."),
    ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied."),
    ("5.7.1", "554 5.7.1 Message rejected due to content restrictions."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_mail_has_the_size_that_was_asked_for_and_is_always_the_same() {
        let spec = Generate { count: 10, size: 5600, large_every: 3, large_size: 70_000, seen_every: 0 };
        assert_eq!(mail(&spec, 0).len(), 5600);
        assert_eq!(mail(&spec, 2).len(), 70_000);
        assert_eq!(mail(&spec, 7), mail(&spec, 7));
        assert_ne!(mail(&spec, 7), mail(&spec, 8));
    }
}
