"""The odd ones: octets that a reader of mail trips over. Each is a bounce otherwise."""

import random


def mails():
    """(name, kind, octets) of each."""
    for name, octets in [
        ("nul", bounce(b"before\0after\n\0\0\0\n")),
        ("nul-in-header", bounce(b"text\n", b"X-Odd: a\0b\n")),
        ("all-octets", bounce(bytes(range(256)) * 12 + b"\n")),
        ("8-bit", bounce("Empfänger unbekannt: größer\n".encode("latin-1") * 20)),
        ("not-utf-8", bounce(b"\xc3\n\xff\xfe\xc3\x28\xed\xa0\x80\xf8\x88\x80\x80\x80\n")),
        ("bare-cr", bounce(b"one\rtwo\r\rthree\r")),
        ("bare-cr-then-crlf", bounce(b"one\r\r\ntwo\r\n\rthree\r\n")),
        ("mixed-line-ends", bounce(b"lf\ncrlf\r\nlf\n\r\n\n\r\n")),
        ("crlf", bounce(b"crlf\n" * 30).replace(b"\n", b"\r\n")),
        ("line-of-100-kb", bounce(b"x" * 100_000 + b"\n" + b"y" * 100_000 + b"\n")),
        ("line-of-100-kb-8-bit", bounce(b"\xe4" * 100_000 + b"\n")),
        ("one-megabyte", bounce(b"".join(b"%06d " % number + b"z" * 69 + b"\n" for number in range(13_160)))),
        ("empty-body", bounce(b"")),
        ("headers-only", bounce(b"").rstrip(b"\n") + b"\n"),
        ("headers-only-no-line-end", bounce(b"").rstrip(b"\n")),
        ("body-without-header", b"\nNot a single header stands before this line.\n"),
        ("no-line-end", bounce(b"the last line has no end")),
        ("cr-at-the-end", bounce(b"the last octet is a carriage return\r")),
        ("blank-lines", bounce(b"\n" * 500)),
        ("one-octet", b"x"),
        ("one-line-end", b"\n"),
        ("utf-8-header", bounce(b"text\n", "Subject: Unzustellbar: Grüße 🚲\n".encode())),
        ("latin-1-header", bounce(b"text\n", "Subject: Unzustellbar: Grüße\n".encode("latin-1"))),
        ("long-header", bounce(b"text\n", b"X-Long: " + b"h" * 60_000 + b"\n")),
        ("folded-header", bounce(b"text\n", b"References:" + b"".join(b"\n <%d@example.test>" % number for number in range(2_000)) + b"\n")),
        ("two-thousand-headers", bounce(b"text\n", b"".join(b"X-%d: %d\n" % (number, number) for number in range(2_000)))),
        ("dots", bounce(b".\n..\n.text\n.\n")),
        ("literals", bounce(b"{123}\nthe line ends in {4}\n{99999999999+}\n~{5}\n")),
        ("like-imap", bounce(b'a1 OK FETCH completed\n* BYE gone\n)\n* 1 EXISTS\n+ go on\n* 1 FETCH (UID 1 BODY[] {3}\nabc)\na1 BAD no\n"\\')),
        ("closing-parenthesis", bounce(b")")),
        ("like-maildir", bounce(b"From someone Mon Nov 23 19:00:00 2026\n>From someone\n")),
        ("nested", bounce(b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (depth, depth + 1) for depth in range(300)),
                          b"Content-Type: multipart/mixed; boundary=b0\n")),
        ("unclosed-quotes", bounce(b'"""((((\n', b'Content-Type: text/plain; name="\nFrom: "(((\n')),
        ("noise", bounce(random.Random("noise").randbytes(20_000))),
    ]:
        yield f"odd-{name}", "unrecognised", octets


def bounce(body, header=b""):
    """As an old system writes it: a few header lines, with `header` among them."""
    return (b"Return-Path: <>\nDelivered-To: bounce@example.test\nDate: Mon, 23 Nov 2026 19:00:00 +0100\n" + header +
            b"From: MAILER-DAEMON@example.org\nTo: bounce+anna=example.org.k2m4@example.test\nMessage-ID: <odd@example.org>\n\n" + body)
