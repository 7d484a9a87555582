#!/usr/bin/env python3
"""The bounce loop of BounceLoop.java against a stand-in for Entra ID and Exchange Online, with what it does made visible.

Exits with 0 only if each mail went where it should, which the stand-in is asked, not the library. Run by: make demo
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "corpus"))
from make import bounces


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--standin", required=True, help="the program um-standin")
    options.add_argument("--classpath", required=True, help="with BounceLoop, the library's jar and JavaMail")
    arguments = options.parse_args()
    sys.stdout.reconfigure(errors="replace")
    # The end of the shell it runs in must not leave a server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    with tempfile.TemporaryDirectory(prefix="um-demo-") as directory:
        problems = demo(arguments, pathlib.Path(directory))
    for problem in problems:
        print(paint("red", f"✗ {problem}"))
    if problems:
        sys.exit(1)


def demo(arguments, directory):
    """Everything from the first line to the last; what was not as it should be."""
    mails = [Mail(uid, *bounce) for uid, bounce in enumerate(bounces(MAILS), 1)]
    with Standin(arguments.standin, directory, scenario(mails)) as standin:
        home = UmHome(directory / "um", standin)
        loop = BounceLoop(arguments.classpath, home, directory)
        introduce(standin, home)
        problems = poll_the_mailbox(standin, loop, mails) or forget_the_permission(standin, loop)
        if not problems:
            say_how_it_is_done_in_um(home)
    return problems


def introduce(standin, home):
    print(paint("bold", "The bounce mailbox of Universal Messenger, read by IMAP with OAuth2"))
    print()
    print("Stand-ins for Entra ID and Exchange Online run on this machine, behind TLS; nothing leaves it.")
    print(f"  token    {standin.where['token_uri']}")
    print(f"  IMAP     {standin.where['host']}:{standin.where['imap_port']}, {USER}, {MAILS} mails of {len(SYSTEMS)} kinds")
    print(f"  UM_HOME  {home.path}")
    print()


def poll_the_mailbox(standin, loop, mails):
    heading("One poll by UM's bounce loop (java/examples/BounceLoop.java)")
    before = standin.counts(USER)
    started = time.monotonic()
    table = Table(standin, mails)
    failed = loop.run(table.add)
    table.finish()
    seconds = time.monotonic() - started
    if failed is not None:
        print(wrapped(failed))
        print()
        return ["the poll failed"]
    counters = standin.ask("counters")
    print(f"{len(table.rows)} mails in {seconds:.1f} seconds with the start of the JVM: "
          f"{counted(counters['token_requests'], 'token request')}, {counted(counters['connections'], 'IMAP connection')}, "
          f"{counted(sum(counters['commands'].values()), 'command')}")
    print()
    heading("The folders on the server")
    show_folders(before, standin.counts(USER))
    return check_the_poll(standin, loop, mails, table)


def show_folders(before, after):
    print(paint("dim", f"  {'':14}{'before':>8}{'after':>8}"))
    for folder in sorted({**before, **after}, key=lambda folder: (folder != "INBOX", folder)):
        counts = before.get(folder), after.get(folder, 0)
        if any(counts):
            note = (f"somebody has read these {len(READ)}, and cmsbs.bounce.processAll = false" if folder == "INBOX"
                    else "created" if counts[0] is None else "")
            print(f"  {folder:14}{'–' if counts[0] is None else counts[0]:>8}{counts[1]:>8}   {paint('dim', note)}".rstrip())
    print()


def check_the_poll(standin, loop, mails, table):
    """What lies in the server's folders, and what Java got, octet for octet against what was put into the inbox."""
    should = sorted((mail.folder, mail.flags, mail.octets) for mail in mails)
    found = sorted((folder, mail["flags"], mail["octets"]) for folder, mail in standin.all_mails(USER))
    given = {int(file.stem): file.read_bytes() for file in loop.archive.iterdir()}
    unread = {mail.uid: mail.octets for mail in mails if mail.uid not in READ}
    return checked([
        (f"each of the {MAILS} mails lies in the folder where it should, unchanged, and in no other", found == should),
        (f"the {len(unread)} unread mails came to Java octet for octet, once each",
         given == unread and sorted(table.rows) == sorted(unread)),
    ])


def forget_the_permission(standin, loop):
    heading("A second mailbox is added as a listener, but the permission on it was forgotten")
    print("At its first poll the administrator is told (in German with cmsbs.lang = de):")
    print()
    failed = loop.run(lambda *_: None, listener=LISTENER)
    print(paint("yellow", wrapped(failed or "nothing")))
    print()
    text = " ".join((failed or "").split())
    return checked([
        ("it says what Exchange answered, and which command sets it right",
         all(part in text for part in (NOT_CONNECTED, "Add-MailboxPermission", SECOND_USER))),
        ("nothing in that mailbox was touched",
         [(folder, mail["uid"], mail["flags"]) for folder, mail in standin.all_mails(SECOND_USER)] == [("INBOX", 1, [])]),
    ])


def say_how_it_is_done_in_um(home):
    heading("In UM these three lines do it")
    print(paint("cyan", textwrap.indent(textwrap.dedent("""\
        BounceMailbox mailbox = BounceMailbox.builder().settings(config::get).open();   // once
        for (BounceMessage mail : mailbox.fetch())                                      // at every poll
            mailbox.settle(mail, classify(new MimeMessage(session, mail.inputStream())));
        """), "  ")))
    print("with the properties that UM's manual has for OAuth2, here as they are for Exchange Online:")
    print()
    for key, value in {**home.manual, **EXCHANGE_ONLINE}.items():
        print(paint("cyan", f"  {key:{len(max(home.manual, key=len))}} {value or EMPTY}"))
    print()
    print("Beside them the demo has one line of the library's own, cmsbs.mail.imap.ssl.caFile: the certificates")
    print("of the stand-ins are of a private CA. Exchange Online needs no such line.")


class Mail:
    """One mail of the inbox, and where it should go."""

    def __init__(self, uid, name, kind, octets):
        self.uid = uid
        self.system = SYSTEMS[name.partition("-")[2]]
        self.octets = re.sub(rb"\r?\n", b"\r\n", octets)
        self.flags = ["\\Seen"] if uid in READ else []
        self.folder = "INBOX" if uid in READ else FOLDERS[kind].replace(".", "/")


class Table:
    """A line for each mail as soon as the server has it in another folder."""

    def __init__(self, standin, mails):
        self.standin = standin
        self.mails = {mail.uid: mail for mail in mails}
        self.folder_of = {}         # by the octets
        self.seen = set()           # (folder, UID) that folder_of knows
        self.rows = []              # UIDs, in the order in which Java got them
        self.waiting = []           # rows that are not shown yet
        self.show("UID", "from", "subject", "taken for", "went to", lambda text: paint("dim", text))

    def add(self, uid, outcome, subject):
        self.rows.append(int(uid))
        self.waiting.append((int(uid), outcome, subject))
        self.catch_up()

    def finish(self):
        """The mailbox is closed: where a mail is now, it stays."""
        self.catch_up()
        for row in self.waiting:
            self.show_row(*row)
        self.waiting = []
        print()

    def catch_up(self):
        for folder, uid in self.standin.uids(USER):
            if folder != "INBOX" and (folder, uid) not in self.seen:
                self.seen.add((folder, uid))
                self.folder_of[self.standin.mail(USER, folder, uid)["octets"]] = folder
        while self.waiting and self.mails[self.waiting[0][0]].octets in self.folder_of:
            self.show_row(*self.waiting.pop(0))

    def show_row(self, uid, outcome, subject):
        mail = self.mails[uid]
        folder = self.folder_of.get(mail.octets, "INBOX")
        label, colour = OUTCOMES[outcome]
        right = folder == mail.folder
        self.show(uid, mail.system, subject, label, folder if right else f"{folder}, not {mail.folder}",
                  lambda text: paint(colour if right else "red", text))

    def show(self, uid, system, subject, label, folder, painted):
        room = max(10, WIDTH - 60)
        print(f"{uid:>3}  {system:19}  {cut(subject, room):{room}}  {painted(f'{label:12}  {folder}')}", flush=True)


class BounceLoop:
    """Runs BounceLoop.java."""

    def __init__(self, classpath, home, directory):
        self.command = ["java", f"-Djava.io.tmpdir={directory}", "-cp", classpath, "BounceLoop", str(home.path)]
        self.archive = directory / "archive"
        self.directory = directory

    def run(self, row, listener=None):
        """Calls row with what is said of each mail; returns why it failed, or None."""
        archive = self.archive if listener is None else self.directory / f"archive-{listener}"
        archive.mkdir()
        command = [*self.command, str(archive), *([listener] if listener else [])]
        failed = None
        with tempfile.TemporaryFile(dir=self.directory) as log:
            with ended(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)) as java:
                for line in java.stdout:
                    first, *others = line.decode().rstrip("\r\n").split("\t")
                    if first == "failed":
                        failed = others[0]
                    else:
                        row(first, *others)
            if java.returncode != 0 and failed is None:
                log.seek(0)
                failed = f"java ended with {java.returncode}: {log.read().decode(errors='replace')}"
        return failed


class UmHome:
    """A UM_HOME as UM has it, with the block for OAuth2 as its manual prints it."""

    def __init__(self, path, standin):
        self.path = path
        (path / "cmsbs-conf" / "conf.d").mkdir(parents=True)
        (path / "cmsbs-work").mkdir()
        where = standin.where
        client = where["clients"][0]
        self.manual = {
            "cmsbs.mail.imap.server": where["host"],
            "cmsbs.mail.imap.port": where["imap_port"],
            "cmsbs.mail.imap.ssl": "true",
            "cmsbs.mail.imap.user": USER,
            "cmsbs.mail.imap.password": "",
            "cmsbs.mail.imap.authenticationMethod": "oauth2",
            "cmsbs.mail.imap.oauth2.accessTokenUri": where["token_uri"],
            "cmsbs.mail.imap.oauth2.clientId": client["id"],
            "cmsbs.mail.imap.oauth2.clientSecret": client["secret"],
            "cmsbs.mail.imap.oauth2.scope": "https://outlook.office365.com/.default",
            "cmsbs.mail.imap.oauth2.grantType": "client_credentials",
        }
        self.write("cmsbs.properties", {
            "cmsbs.lang": "en",
            "cmsbs.startbounce": "true",
            **self.manual,
            "cmsbs.bounce.processAll": "false",
            "cmsbs.bounce.debug": "true",
            **{f"cmsbs.mail.imap.folder.{name}": folder for name, folder in UM_FOLDERS.items()},
            "cmsbs.bounce.listeners": LISTENER,
            f"cmsbs.bouncelistener.{LISTENER}.mail.imap.server": where["host"],
            f"cmsbs.bouncelistener.{LISTENER}.mail.imap.user": SECOND_USER,
        })
        # A file of its own, since UM's interface rewrites the other one.
        self.write("conf.d/um-imap-oauth2.properties", {"cmsbs.mail.imap.ssl.caFile": where["ca_file"]})

    def write(self, name, properties):
        lines = "".join(f'{key} = "{value}"\n' for key, value in properties.items())
        (self.path / "cmsbs-conf" / name).write_text(lines, encoding="iso-8859-1")


class Standin:
    """The program um-standin, which is asked by lines of JSON."""

    def __init__(self, program, directory, scenario):
        file = directory / "scenario.json"
        file.write_text(json.dumps(scenario))
        # In a session of its own: Ctrl-C ends this script, which then ends it in order.
        self.process = subprocess.Popen([program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        start_new_session=True, env={**os.environ, "TMPDIR": str(directory)})
        self.where = self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def ask(self, request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("demo.py: the stand-in has ended")
        return json.loads(line)

    def counts(self, user):
        return self.ask("folders")[user]

    def uids(self, user):
        """(folder, UID) of each mail of a mailbox."""
        for folder, count in self.counts(user).items():
            if count:
                for uid in self.ask({"mails": {"user": user, "folder": folder}})["uids"]:
                    yield folder, uid

    def mail(self, user, folder, uid):
        mail = self.ask({"mail": {"user": user, "folder": folder, "uid": uid}})
        return {"uid": uid, "flags": mail["flags"], "octets": base64.b64decode(mail["base64"])}

    def all_mails(self, user):
        return [(folder, self.mail(user, folder, uid)) for folder, uid in list(self.uids(user))]


def scenario(mails):
    """What the stand-in is started with: the full mailbox, and a second one on which the app has no permission."""
    inbox = [{"base64": base64.b64encode(mail.octets).decode(), "flags": mail.flags} for mail in mails]
    return {"mailboxes": [
        {"user": USER, "folders": [{"name": "INBOX", "mails": inbox}]},
        {"user": SECOND_USER, "permitted": [], "folders": [{"name": "INBOX", "mails": [{"text": "Subject: untouched\n\n"}]}]},
    ]}


@contextlib.contextmanager
def ended(process):
    """The process, which has ended afterwards, whatever happens."""
    with process:
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()


def checked(checks):
    """Shows what was checked; returns what was not so."""
    for text, good in checks:
        print(f"  {paint('green', '✓') if good else paint('red', '✗')} {text}")
    print()
    return [f"not so: {text}" for text, good in checks if not good]


def heading(text):
    print(paint("bold", f"── {text} ".ljust(WIDTH, "─")))
    print()


def wrapped(text):
    return textwrap.fill(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ",
                         break_on_hyphens=False, break_long_words=False)


def cut(text, room):
    return text if len(text) <= room else text[:room - 1] + "…"


def counted(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def paint(colour, text):
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if COLOURED else text


WIDTH = min(100, shutil.get_terminal_size((100, 24)).columns)
COLOURED = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
COLOURS = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "plain": 0}

USER = "bounces@example.com"
SECOND_USER = "events-bounces@example.com"
LISTENER = "events"
NOT_CONNECTED = "BAD User is authenticated but not connected."

MAILS = 48
# The UIDs of those that somebody has read before; there are others of their kinds.
READ = {10, 30}
# By their names in tests/corpus/systems.py.
SYSTEMS = {
    "postfix": "Postfix",
    "exim": "Exim",
    "exchange_online": "Exchange Online",
    "sendmail": "Sendmail",
    "qmail": "qmail",
    "out_of_office": "somebody away",
    "gmail": "Gmail",
    "exchange_german": "Exchange, German",
    "yahoo": "Yahoo",
    "domino": "Domino",
    "unsubscribe": "a recipient",
    "courier": "Courier",
    "provider_german": "a German provider",
    "amazon_ses": "Amazon SES",
    "abuse_report": "a feedback loop",
    "gateway_without_report": "a filtering gateway",
    "ticket_receipt": "a help desk",
    "spam": "a spammer",
    "personal_answer": "a reader",
}

EMPTY = '""'
# What differs from the demo's properties.
EXCHANGE_ONLINE = {
    "cmsbs.mail.imap.server": "outlook.office365.com",
    "cmsbs.mail.imap.port": "993",
    "cmsbs.mail.imap.oauth2.accessTokenUri": "https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token",
    "cmsbs.mail.imap.oauth2.clientId": "<client_id>",
    "cmsbs.mail.imap.oauth2.clientSecret": "<client_secret>",
}

UM_FOLDERS = {
    "debug": "bounces.other",
    "error": "error",
    "hardbounce": "bounces.hard",
    "softbounce": "bounces.soft",
    "autorespond": "bounces.auto",
    "unsubscribe": "unsubscribe",
    "spam": "spam",
}
# By the kinds of tests/corpus.
FOLDERS = {**UM_FOLDERS, "handled": UM_FOLDERS["debug"], "unrecognised": UM_FOLDERS["error"]}
OUTCOMES = {
    "HARDBOUNCE": ("hard bounce", "red"),
    "SOFTBOUNCE": ("soft bounce", "yellow"),
    "AUTORESPOND": ("auto-reply", "blue"),
    "UNSUBSCRIBE": ("unsubscribe", "magenta"),
    "SPAM": ("spam", "dim"),
    "HANDLED": ("handled", "cyan"),
    "UNRECOGNISED": ("unrecognised", "bold"),
}

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Nobody reads any more, not even what Python would flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
