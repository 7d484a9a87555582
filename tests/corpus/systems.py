"""The mail systems: each function writes one mail in the format of the system that it is named after, and says what kind of mail it is.

`system(random, length) -> (kind, octets)`: octets with LF line ends; `length` is how long the body of a returned newsletter shall be, more or less.
"""

import base64
import quopri
import textwrap
from email.header import Header

# What a receiving system can say of a delivery: kind, SMTP code, enhanced status code (RFC 3463), text.
HARD = [
    ("550", "5.1.1", "<{to}>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("550", "5.1.1", "No such user here, please check the address {to}"),
    ("550", "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient {to} not found by SMTP address lookup"),
    ("550", "5.1.2", "Host or domain name not found: {domain} has no MX and no address record"),
    ("550", "5.2.1", "The account {to} is closed and takes no more mail"),
    ("553", "5.1.3", "The part before the @ of {to} is not a valid mailbox name"),
    ("554", "5.1.6", "{to} has moved and left no address"),
    ("550", "5.1.1", "Empfänger {to} existiert nicht"),
]
SOFT = [
    ("452", "4.2.2", "The mailbox of {to} is over its quota, try again later"),
    ("552", "5.2.2", "Mailbox full: {to} has used 100 % of 2048 MB"),
    ("451", "4.7.1", "Greylisted for {to}, please come again in 300 seconds"),
    ("421", "4.4.1", "connect to mx1.{domain}[192.0.2.25]:25: Connection timed out"),
    ("452", "4.3.1", "Insufficient system storage on mx1.{domain}"),
    ("552", "5.3.4", "Message is larger than the 5 MB that {domain} takes"),
    ("554", "5.7.1", "Message refused by the content policy of {domain} (score 14.2)"),
    ("450", "4.2.2", "Postfach {to} ist voll (Quota überschritten)"),
]
PEOPLE = ["anna.schmidt", "bjoern", "c.mueller", "dora", "erik.johansson", "f.garcia", "greta.groß", "h.okafor", "ines", "j.larsen", "kim.tan", "l.novak"]
DOMAINS = ["example.org", "mail.example.org", "post.example.com", "students.example.org", "city.example.com", "verwaltung.example.org"]
PARAGRAPHS = [textwrap.fill(text, 76) + "\n" for text in [
    "The spring programme is out: twelve concerts, four guided tours and a long night of science. Seats can be booked from Monday.",
    "Our library opens on Sundays again. Volunteers read to children at three o'clock, in German, English and Polish.",
    "The new timetable takes effect on the first of the month. Line 7 then runs every ten minutes until midnight.",
    "Die Bürgersprechstunde findet künftig dienstags statt. Bitte melden Sie sich über das Formular an; größere Gruppen rufen uns bitte an.",
    "Für das Sommerfest suchen wir noch Helferinnen und Helfer. Wer Kuchen mitbringt, isst übrigens kostenlos.",
    "Members of the association vote on the budget until Friday. The documents lie in the portal under Downloads.",
]]


def postfix(random, length):
    """RFC 3464 report with the text that Postfix writes before it."""
    case = Case(random, length)
    queue = token(random, 10, "0123456789ABCDEF")
    text = f"""This is the mail system at host mx2.example.test.

I'm sorry to have to inform you that your message could not be
delivered to one or more recipients. It's attached below.

<{case.to}>: host mx1.{case.domain}[192.0.2.25] said: {case.said} (in reply to
    RCPT TO command)
"""
    report = f"""Reporting-MTA: dns; mx2.example.test
X-Postfix-Queue-ID: {queue}
X-Postfix-Sender: rfc822; {case.verp}
Arrival-Date: {case.date()}

Final-Recipient: rfc822; {case.to}
Original-Recipient: rfc822;{case.to}
Action: {case.action}
Status: {case.status}
Remote-MTA: dns; mx1.{case.domain}
Diagnostic-Code: smtp; {case.said}
"""
    subject = "Undelivered Mail Returned to Sender" if case.kind == "hardbounce" else "Delayed Mail (still being retried)"
    return case.report(subject, "MAILER-DAEMON@mx2.example.test (Mail Delivery System)", text, report, extra="Auto-Submitted: auto-replied\n")


def exim(random, length):
    """No MIME: the text and the returned mail in one body; the failed address also in a header."""
    case = Case(random, length)
    text = f"""This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. {"This is a permanent error" if case.kind == "hardbounce" else "Retry time not reached for any host"}. The following address(es) failed:

  {case.to}
    host mx1.{case.domain} [192.0.2.25]
    SMTP error from remote mail server after RCPT TO:<{case.to}>:
    {case.said}

------ This is a copy of the message, including all the headers. ------

"""
    return case.plain("Mail delivery failed: returning message to sender", "Mail Delivery System <Mailer-Daemon@relay.example.test>", text,
                      extra=f"X-Failed-Recipients: {case.to}\nAuto-Submitted: auto-replied\n")


def sendmail(random, length):
    """RFC 3464 report with a transcript of the session."""
    case = Case(random, length)
    text = f"""The original message was received at {case.date()}
from um.example.test [198.51.100.7]

   ----- The following addresses had {"permanent fatal errors" if case.kind == "hardbounce" else "transient non-fatal errors"} -----
<{case.to}>
    (reason: {case.said})

   ----- Transcript of session follows -----
... while talking to mx1.{case.domain}.:
>>> RCPT To:<{case.to}>
<<< {case.said}
"""
    report = f"""Reporting-MTA: dns; relay.example.test
Received-From-MTA: DNS; um.example.test
Arrival-Date: {case.date()}

Final-Recipient: RFC822; {case.to}
Action: {case.action}
Status: {case.status}
Remote-MTA: DNS; mx1.{case.domain}
Diagnostic-Code: SMTP; {case.said}
Last-Attempt-Date: {case.date()}
"""
    subject = "Returned mail: see transcript for details" if case.kind == "hardbounce" else "Warning: could not send message for past 4 hours"
    return case.report(subject, "Mail Delivery Subsystem <MAILER-DAEMON@relay.example.test>", text, report, extra="Auto-Submitted: auto-generated (failure)\n")


def qmail(random, length):
    """The QSBMF format: a paragraph for each address, then the mail below a line of its own."""
    case = Case(random, length)
    text = f"""Hi. This is the qmail-send program at q.example.test.
I'm afraid I wasn't able to deliver your message to the following addresses.
I've given up. Sorry it didn't work out.

<{case.to}>:
192.0.2.25 does not like recipient.
Remote host said: {case.said}
Giving up on 192.0.2.25.

--- Below this line is a copy of the message.

Return-Path: <{case.verp}>
"""
    return case.plain("failure notice", "MAILER-DAEMON@q.example.test", text)


def exchange_online(random, length):
    """HTML of 20 kB with a table of the hops, and the long diagnostic texts of Exchange Online."""
    case = Case(random, length)
    host = f"{token(random, 10, 'ABCDEFGHJKLMNPQR0123456789')}.EURP281.PROD.EXAMPLE.TEST"
    rows = "\n".join(
        f'<tr><td style="padding:4px 8px;border-bottom:1px solid #dddddd">{hop}</td><td style="padding:4px 8px">{case.date()}</td>'
        f'<td style="padding:4px 8px">{host}</td><td style="padding:4px 8px">Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)</td></tr>'
        for hop in range(1, 60))
    html = f"""<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body style="font-family:'Segoe UI',sans-serif">
<h2>Your message to {case.to} couldn't be delivered.</h2>
<p><b>{case.to.split("@")[0]}</b> was{"n't found at" if case.kind == "hardbounce" else " reached, but takes no mail at"} <b>{case.domain}</b>.</p>
<table>{rows}</table>
<h3>Diagnostic information for administrators</h3><p>Generating server: {host}</p><p>{case.to}<br>Remote server returned '{case.said}'</p></body></html>
"""
    report = f"""Reporting-MTA: dns;{host}
Received-From-MTA: dns;um.example.test
Arrival-Date: {case.date()}

Final-Recipient: rfc822;{case.to}
Action: {case.action}
Status: {case.status}
Diagnostic-Code: smtp;{case.said}
X-Display-Name: {case.to.split("@")[0]}
"""
    extra = "".join(f"X-MS-Exchange-{name}: {token(random, 60, BASE64)}\n" for name in ("MessageSentRepresentingType", "Antispam-MessageData-0", "CrossTenant-Id", "SenderADCheck"))
    return case.report(f"Undeliverable: {case.subject}", "Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.test>", html, report,
                       subtype="html", extra=extra + "X-MS-Exchange-Message-Is-Ndr:\nAuto-Submitted: auto-replied\n", encoding="quoted-printable")


def exchange_german(random, length):
    """Exchange Server in German: text of a quoted-printable windows-1252 part."""
    case = Case(random, length, german=True)
    text = f"""Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Verteilerlisten:

{case.to}
Die eingegebene E-Mail-Adresse konnte nicht gefunden werden. Überprüfen Sie die Adresse, und senden Sie die Nachricht erneut.

Diagnoseinformationen für Administratoren:

Generierender Server: mbx3.example.test
{case.to}
#{case.said} ##rfc822;{case.to}
"""
    report = f"""Reporting-MTA: dns;mbx3.example.test

Final-recipient: RFC822;{case.to}
Action: {case.action}
Status: {case.status}
X-Supplementary-Info: {ascii_only(case.said)}
"""
    return case.report(f"Unzustellbar: {case.subject}", "Systemadministrator <postmaster@example.test>", text, report, charset="windows-1252", encoding="quoted-printable")


def gmail(random, length):
    """multipart/related with an icon beside the text, then the report."""
    case = Case(random, length)
    text = f"""** {"Address not found" if case.kind == "hardbounce" else "Delivery incomplete"} **

Your message {"wasn't delivered to" if case.kind == "hardbounce" else "will be tried again for 46 more hours:"} {case.to}.

The response was:

{case.said}
Learn more at https://support.example.com/mail/?p=NoSuchUser {token(random, 24, BASE64)} - gsmtp
"""
    report = f"""Reporting-MTA: dns; mail.example.com
Arrival-Date: {case.date()}
X-Original-Message-ID: <{case.message_id}>

Final-Recipient: rfc822; {case.to}
Action: {case.action}
Status: {case.status}
Remote-MTA: dns; mx1.{case.domain}. (192.0.2.25, the server for the domain {case.domain}.)
Diagnostic-Code: smtp; {case.said}
Last-Attempt-Date: {case.date()}
"""
    return case.report("Delivery Status Notification (Failure)", "Mail Delivery Subsystem <mailer-daemon@mail.example.com>", text, report,
                       extra=f"X-Failed-Recipients: {case.to}\nX-Gm-Message-State: {token(random, 400, BASE64)}\n", picture=True)


def yahoo(random, length):
    """Plain text with the returned mail below a dashed line."""
    case = Case(random, length)
    text = f"""Sorry, we were unable to deliver your message to the following address.

<{case.to}>:
{case.said}

--- Below this line is a copy of the message.

"""
    return case.plain("Failure Notice", "MAILER-DAEMON@sonic.example.com", text)


def domino(random, length):
    """A report whose text repeats subject and reason, in English or German."""
    german = random.random() < 0.5
    case = Case(random, length, german=german)
    words = ("Ihr Dokument", "konnte nicht zugestellt werden an", "weil") if german else ("Your message", "was not delivered to", "because")
    text = f"""{words[0]}

  {case.subject}

{words[1]}:

  {case.to}

{words[2]}:

  {case.said}
"""
    report = f"""Reporting-MTA: dns;domino1.example.test

Final-Recipient: rfc822;{case.to}
Action: {case.action}
Status: {case.status}
Diagnostic-Code: X-Notes; {ascii_only(case.said)}
"""
    subject = ("Zustellungsfehler: " if german else "DELIVERY FAILURE: ") + case.said[:60]
    return case.report(subject, "postmaster@domino1.example.test", text, report, charset="iso-8859-1", encoding="8bit",
                       extra="X-MIMETrack: Serialize by Router on domino1/example(Release 9.0.1FP10) at 11/23/2026\n")


def courier(random, length):
    """RFC 3464 report with the text in UTF-8, unencoded."""
    case = Case(random, length)
    text = f"""This is a delivery status notification from courier.example.test,
running the Courier mail server.

The original message was received on {case.date()}.

    UNDELIVERABLE MAIL

<{case.to}>:
    <<< {case.said}
"""
    report = f"""Reporting-MTA: dns; courier.example.test
Arrival-Date: {case.date()}

Final-Recipient: rfc822; {case.to}
Action: {case.action}
Status: {case.status}
Diagnostic-Code: smtp; {case.said}
"""
    return case.report("NOTICE: mail delivery status.", '"Courier mail server at courier.example.test" <@>', text, report, encoding="8bit")


def provider_german(random, length):
    """A German mail provider: free text, latin-1 without any encoding, the mail's headers only."""
    case = Case(random, length, german=True)
    text = f"""Diese E-Mail wurde automatisch vom Server mx.post.example.com erzeugt.

Eine oder mehrere Ihrer Nachrichten konnten leider nicht zugestellt werden:

"{case.to}"
SMTP-Fehler: {case.said}
Zustellung {"endgültig fehlgeschlagen" if case.kind == "hardbounce" else "verzögert, es wird weiter versucht"}.

--- Die Kopfzeilen Ihrer Nachricht folgen. ---

"""
    return case.plain("Unzustellbare Nachricht für " + case.to, "Mail-Zustellung <mailer-daemon@post.example.com>", text, charset="iso-8859-1")


def amazon_ses(random, length):
    """Sent for somebody else: the report names the sending service."""
    case = Case(random, length)
    text = f"""An error occurred while trying to deliver the mail to the following recipients:
{case.to}
"""
    report = f"""Reporting-MTA: dns; a7-20.smtp-out.example.com

Final-Recipient: rfc822;{case.to}
Action: {case.action}
Diagnostic-Code: smtp; {case.said}
Status: {case.status}
Remote-MTA: dns; mx1.{case.domain}
"""
    return case.report("Delivery Status Notification (Failure)", "MAILER-DAEMON@eu-central-1.example.com", text, report, extra=f"Feedback-ID: 1.eu-central-1.{token(random, 40, BASE64)}:Mail\n")


def gateway_without_report(random, length):
    """A filter that answers with a base64 text and keeps the mail's address only in the text."""
    case = Case(random, length)
    text = f"""The e-mail gateway of {case.domain} has not accepted your message.

Recipient: {case.to}
Reason: {case.said}
Reference: {case.message_id}

{newsletter_text(random, length)}"""
    head = case.head(f"Message not accepted: {case.subject}", f"gateway@{case.domain}", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n")
    return case.kind, (head + "\n").encode() + base64.encodebytes(text.encode())


def out_of_office(random, length):
    """Somebody is away (RFC 3834)."""
    case = Case(random, length, german=random.random() < 0.6)
    if case.german:
        subject = f"Automatische Antwort: {case.subject}"
        text = "Guten Tag,\n\nich bin bis zum 12. Dezember nicht im Büro. In dringenden Fällen hilft Ihnen meine Kollegin Frau Groß gern weiter.\n\nMit freundlichen Grüßen\n"
    else:
        subject = f"Out of Office: {case.subject}"
        text = "Hello,\n\nI am away until 12 December with no access to my mail. For anything urgent please call the front desk.\n\nKind regards\n"
    extra = "Auto-Submitted: auto-replied\nX-Auto-Response-Suppress: All\nPrecedence: auto_reply\n"
    return "autorespond", case.answer(subject, text, extra)


def ticket_receipt(random, length):
    """A help desk confirms that the newsletter has become a ticket."""
    case = Case(random, length)
    number = random.randint(10_000, 99_999)
    text = f"Thank you for your message. It is ticket #{number}; we answer within two working days.\n\nThis mail was written by a machine.\n"
    return "autorespond", case.answer(f"[#{number}] {case.subject}", text, "Auto-Submitted: auto-generated\nX-Loop: helpdesk\n")


def unsubscribe(random, length):
    """By the List-Unsubscribe header or by hand."""
    case = Case(random, length, german=random.random() < 0.5)
    if random.random() < 0.5:
        return "unsubscribe", case.answer("unsubscribe", "unsubscribe\n", f"X-List-Unsubscribe: <mailto:{case.verp}?subject=unsubscribe>\n")
    text = "Bitte nehmen Sie mich aus dem Verteiler.\n" if case.german else "Please take me off this list.\n"
    return "unsubscribe", case.answer(f"{'Abmelden' if case.german else 'Unsubscribe'}: {case.subject}", text, "")


def abuse_report(random, length):
    """ARF (RFC 5965): a recipient pressed the spam button."""
    case = Case(random, length)
    text = f"This is an email abuse report for an email message received from IP 198.51.100.7 on {case.date()}.\n"
    report = f"""Feedback-Type: abuse
User-Agent: Example-FBL/1.2
Version: 1
Original-Mail-From: <{case.verp}>
Original-Rcpt-To: {case.to}
Arrival-Date: {case.date()}
Source-IP: 198.51.100.7
Reported-Domain: example.test
"""
    _, octets = case.report(f"FW: {case.subject}", "Feedback Loop <fbl@example.com>", text, report, report_type="feedback-report")
    return "handled", octets


def spam(random, length):
    """Sent to the bounce address by somebody who harvests addresses."""
    case = Case(random, length)
    text = f"DEAR FRIEND, you won 4.500.000 EUR in the draw of this week. To receive it, answer with your full name.\n\n{newsletter_text(random, length)}"
    head = case.head("*****SPAM***** YOU WON!!! re: " + token(random, 8, BASE64), f"lucky{random.randint(1, 999)}@example.com",
                     f"X-Spam-Flag: YES\nX-Spam-Status: Yes, score=17.4 required=5.0\nX-Spam-Report: {token(random, 300, BASE64)}\nContent-Type: text/plain; charset=us-ascii\n")
    return "spam", head.encode() + b"\n" + text.encode("ascii", "replace")


def personal_answer(random, length):
    """A human being answers the newsletter; a machine has nothing to say to that."""
    case = Case(random, length, german=random.random() < 0.5)
    text = ("Liebe Redaktion,\n\nder Termin am Dienstag stimmt nicht, die Halle ist dann geschlossen. Könnten Sie das prüfen?\n\nViele Grüße\n" if case.german
            else "Dear editors,\n\nthe date on page two is wrong, the hall is closed then. Could you have a look?\n\nBest wishes\n")
    return "unrecognised", case.answer(("AW: " if case.german else "Re: ") + case.subject, text, "")


SYSTEMS = [postfix, exim, exchange_online, sendmail, qmail, out_of_office, gmail, exchange_german, yahoo, domino, postfix, unsubscribe, courier, provider_german,
           amazon_ses, abuse_report, exim, gateway_without_report, ticket_receipt, exchange_online, spam, sendmail, personal_answer]


class Case:
    """One delivery that went wrong: who, where, why, and the newsletter that it was about."""

    def __init__(self, random, length, german=False):
        self.random = random
        self.length = length
        self.german = german
        self.domain = random.choice(DOMAINS)
        self.to = f"{ascii_only(random.choice(PEOPLE))}{random.randint(1, 999)}@{self.domain}"
        self.ticket = token(random, 12, "abcdefghjkmnpqrstuvwxyz23456789")
        self.verp = f"bounce+{self.to.replace('@', '=')}.{self.ticket}@example.test"
        self.message_id = f"UM.{self.ticket}.{random.randint(10_000, 99_999)}@um.example.test"
        self.subject = random.choice(["Veranstaltungen im Frühling", "Neues aus dem Rathaus"] if german else ["Our programme in spring", "News of the week"])
        self.kind, reasons = ("hardbounce", HARD) if random.random() < 0.6 else ("softbounce", SOFT)
        self.code, self.status, said = random.choice(reasons)
        self.said = f"{self.code} {self.status} {said.format(to=self.to, domain=self.domain)}"
        self.action = "failed" if self.code.startswith("5") else "delayed"

    def date(self):
        random = self.random
        return f"Mon, {random.choice([2, 9, 16, 23]):02} Nov 2026 {random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02} +0100"

    def head(self, subject, sender, content):
        """The header of a mail to the bounce address, with the traces that it collected on its way."""
        random = self.random
        received = "".join(
            f"Received: from {host} ({host} [192.0.2.{random.randint(1, 254)}])\n\tby {by} with ESMTPS id {token(random, 16, BASE64)}\n\tfor <{self.verp}>; {self.date()}\n"
            for host, by in [("in3.example.test", "mbx3.example.test"), (f"mx1.{self.domain}", "in3.example.test"), ("localhost", f"mx1.{self.domain}")])
        signature = "\n\t ".join(token(random, 68, BASE64) for _ in range(5))
        return (f"Return-Path: <>\nDelivered-To: bounce@example.test\nX-Original-To: {self.verp}\nEnvelope-To: {self.verp}\n{received}"
                f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={self.domain}; s=s2026;\n\th=From:To:Subject:Date; b={signature}\n"
                f"From: {sender}\nTo: {self.verp}\nSubject: {encoded(subject)}\nDate: {self.date()}\n"
                f"Message-ID: <{token(random, 20, '0123456789abcdef')}@mx1.{self.domain}>\nMIME-Version: 1.0\n{content}")

    def newsletter(self):
        """The mail that could not be delivered: UM's headers and `length` characters of text."""
        random = self.random
        text = newsletter_text(random, self.length)
        return (f"Received: from um.example.test (um.example.test [198.51.100.7])\n\tby relay.example.test with ESMTPS id {token(random, 12, BASE64)}; {self.date()}\n"
                f"DKIM-Signature: v=1; a=rsa-sha256; d=example.test; s=um;\n\tb={token(random, 172, BASE64)}\n"
                f"Date: {self.date()}\nFrom: Newsletter <news@example.test>\nReply-To: {self.verp}\nTo: {self.to}\nMessage-ID: <{self.message_id}>\n"
                f"Subject: {encoded(self.subject)}\nList-Unsubscribe: <mailto:{self.verp}?subject=unsubscribe>, <https://news.example.test/u/{self.ticket}>\n"
                f"X-Mailer: Universal Messenger\nX-Report-Abuse: abuse@example.test\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
                f"Content-Transfer-Encoding: quoted-printable\n\n" + quopri.encodestring(text.encode()).decode())

    def plain(self, subject, sender, text, charset="utf-8", extra=""):
        """One body, not encoded: what is not ASCII is there as 8-bit octets."""
        head = self.head(subject, sender, f"{extra}Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n")
        return self.kind, (head + "\n" + text + self.newsletter()).encode(charset, "replace")

    def report(self, subject, sender, text, report, subtype="plain", charset="utf-8", encoding="7bit", extra="", report_type="delivery-status", picture=False):
        """multipart/report (RFC 6522): the text for people, the report for machines, the returned mail."""
        boundary = f"{token(self.random, 12, '0123456789ABCDEF')}.{self.random.randint(10**9, 10**10)}/mx.example.test"
        octets = text.encode(charset, "replace")
        if encoding == "quoted-printable":
            octets = quopri.encodestring(octets)
        elif encoding == "7bit" and not octets.isascii():
            encoding = "8bit"
        part = f"Content-Type: text/{subtype}; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n".encode() + octets
        if picture:
            icon = base64.encodebytes(self.random.randbytes(900))
            part = (b'Content-Type: multipart/related; boundary="inner-part"\n\n--inner-part\n' + part +
                    b'\n--inner-part\nContent-Type: image/png; name="icon.png"\nContent-Transfer-Encoding: base64\nContent-ID: <icon.png>\n\n' + icon + b"\n--inner-part--\n")
        whole = self.random.random() < 0.7 or self.length > 6_000 or report_type != "delivery-status"
        original = self.newsletter()
        if not whole:
            original = original.partition("\n\n")[0] + "\n"
        parts = [
            part,
            f"Content-Description: Report\nContent-Type: message/{report_type}\n\n".encode() + report.encode("utf-8"),
            f"Content-Type: {'message/rfc822' if whole else 'text/rfc822-headers'}\n\n".encode() + original.encode(),
        ]
        head = self.head(subject, sender, f'{extra}Content-Type: multipart/report; report-type={report_type};\n\tboundary="{boundary}"\n')
        line = f"\n--{boundary}\n".encode()
        return self.kind, head.encode() + b"\nThis is a MIME-encapsulated message.\n" + line + line.join(parts) + f"\n--{boundary}--\n".encode()

    def answer(self, subject, text, extra):
        """An answer to the newsletter, which it quotes."""
        charset, encoding = self.random.choice([("utf-8", "8bit"), ("iso-8859-1", "8bit"), ("utf-8", "quoted-printable")])
        quoted = "".join(f"> {line}\n" for line in newsletter_text(self.random, self.length).splitlines())
        octets = f"{text}\n{self.to} <{self.date()}>:\n{quoted}".encode(charset, "replace")
        if encoding == "quoted-printable":
            octets = quopri.encodestring(octets)
        head = self.head(subject, f"<{self.to}>", f"{extra}In-Reply-To: <{self.message_id}>\nReferences: <{self.message_id}>\n"
                                                  f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n")
        return head.encode() + b"\n" + octets


def newsletter_text(random, length):
    lines = []
    written = 0
    while written < length:
        paragraph = random.choice(PARAGRAPHS)
        lines.append(paragraph)
        written += len(paragraph) + 1
    return "\n".join(lines)


def encoded(text):
    """A header's text as RFC 2047 wants it."""
    return text if text.isascii() else Header(text, "utf-8").encode()


def ascii_only(text):
    for letter, plain in zip("äöüßÄÖÜ", ["ae", "oe", "ue", "ss", "Ae", "Oe", "Ue"]):
        text = text.replace(letter, plain)
    return text


def token(random, length, letters):
    return "".join(random.choices(letters, k=length))


BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
