"""What is tried at each server: the command line, as its user would call it, beside Python's imaplib, which fills the mailbox and looks at it."""

import collections
import hashlib
import http.server
import imaplib
import json
import pathlib
import random
import re
import ssl
import subprocess
import sys
import threading

from servers import HERE, TOKEN

MAILS = 300
SPARE = 60
LARGE = 12_000_000
UNRECOGNISED = 20
DEBUG_FOLDER = "Rückläufer & Co"
DEBUG_FOLDER_UTF7 = b"R&APw-ckl&AOQ-ufer &- Co"
ERROR_FOLDER = "error"
# A flag that is the server's own affair.
RECENT = b"\\Recent"


def mails(directory):
    """Returns made bounces, one large mail among them, and spare ones for a server that refuses some. IMAP has no NUL."""
    subprocess.run([sys.executable, "-B", HERE.parent / "corpus" / "make.py", directory, "--count", str(MAILS + SPARE)], check=True, stdout=subprocess.DEVNULL)
    made = [file.read_bytes() for file in sorted(directory.glob("*.eml"))]
    made = [mail for mail in made if mail and b"\0" not in mail][:MAILS + SPARE]
    noise = random.Random(12)
    lines = [bytes(noise.choices(range(33, 127), k=76)) for _ in range(100)]
    header = b"From: <mailer-daemon@example.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\nSubject: large\r\nMessage-ID: <large@example.test>\r\n\r\n"
    large = header + b"\r\n".join(lines * (LARGE // 7800 + 1))[:LARGE]
    return made[:MAILS // 2] + [large] + made[MAILS // 2:]


def token_endpoint(pki):
    """Starts an HTTPS server that gives everybody the same access token, and returns its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"https://localhost:{server.server_port}/tenant/oauth2/v2.0/token"


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Exercise:
    """All that is tried at one server."""

    def __init__(self, server, directory, pki, program, endpoint):
        self.server, self.directory, self.pki, self.program, self.endpoint = server, directory, pki, program, endpoint
        self.runs = 0
        self.warnings = []
        self.refused = 0

    def try_all(self, mails):
        """Returns what was tried, in a few words."""
        ways = self.ways()
        for number, way in enumerate(ways):
            self.check(way)
            self.check(way, "--write")
            self.settle(way, mails, debug=number % 2 == 0)
        if len(ways) == 1:
            self.settle(ways[0], mails, debug=False)
        warnings = "".join(f", warns: {text}" for text in dict.fromkeys(self.warnings))
        refused = f" ({self.refused} others refused by it)" if self.refused else ""
        return f"{MAILS} mails{refused}, {', '.join(name for name, _ in ways)}{warnings}"

    def ways(self):
        """Returns the ways to connect and log in: a name and the properties of each."""
        server = self.server
        password = {"user": server.user, "password": server.password}
        oauth2 = {"user": server.user, "password": "", "authenticationMethod": "oauth2", "oauth2.accessTokenUri": self.endpoint, "oauth2.clientId": "5a7d1c3e-0b42-4f6e-9c11-2d8e6f304a10",
                  "oauth2.clientSecret": "s3cr~t8Q", "oauth2.scope": "https://outlook.office365.com/.default"}
        ways = []
        if server.tls:
            ways.append(("TLS", {"ssl": "true", "port": server.tls, **password}))
        if server.starttls:
            ways.append(("STARTTLS", {"ssl": "tls", "port": server.starttls, **password}))
        if server.oauth2:
            ways.append(("XOAUTH2", {"ssl": "true", "port": server.tls, **oauth2}))
        return ways

    def check(self, way, *options):
        report = json.loads(self.um(way, False, "check", "--json", *options, codes=(0, 1)))
        steps = [step for mailbox in report["mailboxes"] for step in mailbox["steps"]]
        assert all(step["status"] in ("done", "warning") for step in steps), steps
        if options:
            assert any(step["step"] == "write" for step in steps), steps
        self.warnings += [f"{step['step']}: {warning if isinstance(warning, str) else warning.get('observed', warning)}"
                          for step in steps for warning in step["warnings"] if step["step"] in ("greeting", "login", "namespace", "inbox", "folders", "write")]

    def settle(self, way, mails, debug):
        """Fills the inbox, fetches all of it, and has it settled; two mails that somebody else marked must stay as they are."""
        with Mailbox(self.server) as mailbox:
            mailbox.empty()
            self.refused = mailbox.fill("INBOX", mails)
            before = mailbox.mails("INBOX")
            assert len(before) == MAILS and any(size >= LARGE for _, (_, size) in before.values()), len(before)
            uids = list(before)
            seen, deleted = uids[3], uids[-5]
            mailbox.mark("INBOX", seen, "\\Seen")
            mailbox.mark("INBOX", deleted, "\\Deleted")
            before = mailbox.mails("INBOX")

            fetched = self.fetch(way, debug)
            expected = {uid: mail.digest for uid, mail in before.items() if uid not in (seen, deleted)}
            assert fetched == expected, difference(fetched, expected)
            after = mailbox.mails("INBOX")
            assert after == before, difference(after, before)

            first = self.fetch(way, debug, "--limit", str(UNRECOGNISED), "--settle", "unrecognised")
            rest = self.fetch(way, debug, "--settle", "handled")
            assert len(first) == UNRECOGNISED and {**first, **rest} == expected, difference({**first, **rest}, expected)
            assert self.fetch(way, debug) == {}
            self.look(mailbox, before, {seen, deleted}, first, rest if debug else None)

    def look(self, mailbox, before, others, unrecognised, handled):
        """Looks whether each mail is where it belongs. `handled`: None if these are deleted."""
        after = mailbox.mails("INBOX")
        left = {uid: mail for uid, mail in after.items() if uid in others}
        theirs = {uid: mail for uid, mail in before.items() if uid in others}
        assert left == theirs, difference(left, theirs)
        ours = {uid: mail for uid, mail in after.items() if uid not in others}
        if self.server.uidplus:
            assert not ours, f"still in the inbox: {list(ours)}"
        else:
            assert all(b"\\Deleted" in mail.flags for mail in ours.values()), ours
        mailbox.holds(ERROR_FOLDER.encode(), unrecognised)
        if handled is not None:
            mailbox.holds(DEBUG_FOLDER_UTF7, handled)

    def fetch(self, way, debug, *options):
        """Calls `fetch` and returns the digest of each mail by its UID."""
        out = self.directory / f"fetched-{self.runs}"
        self.um(way, debug, "fetch", "--to", out, *options, codes=(0,) if self.server.uidplus else (0, 1))
        files = out.glob("*.eml") if out.exists() else []
        return {file.stem.split("-")[1].encode(): digest(file.read_bytes()) for file in files}

    def um(self, way, debug, command, *arguments, codes):
        """Calls the command line, with a UM_HOME for this way and setting, and returns its output."""
        self.runs += 1
        name, properties = way
        home = self.directory / f"um-{name}-{debug}"
        for part in ("cmsbs-conf", "cmsbs-work"):
            (home / part).mkdir(parents=True, exist_ok=True)
        lines = {"server": "localhost", "ssl.caFile": self.pki / "ca.pem", "folder.debug": self.server.prefix + DEBUG_FOLDER,
                 "folder.error": self.server.prefix + ERROR_FOLDER, "trace": "true", **properties}
        text = "# Pinuts File Encoding: UTF-8\n" + "".join(f"cmsbs.mail.imap.{key} = {quoted(value)}\n" for key, value in lines.items())
        text += f'cmsbs.bounce.debug = "{str(debug).lower()}"\ncmsbs.lang = "en"\n'
        file = home / "cmsbs-conf" / "cmsbs.properties"
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        ended = subprocess.run([self.program, command, "--lang", "en", "--um-home", home, *arguments], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        (self.directory / f"run-{self.runs}.log").write_text(ended.stdout + ended.stderr)
        assert ended.returncode in codes, f"{name}, debug={debug}: {command} {arguments}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout


Mail = collections.namedtuple("Mail", "flags digest")


class Mailbox:
    """The mailbox, as Python's imaplib shows it."""

    def __init__(self, server):
        self.imap = imaplib.IMAP4("127.0.0.1", server.plain, timeout=60)
        self.user, self.password = server.user, server.password

    def __enter__(self):
        if self.imap.capabilities and "STARTTLS" in self.imap.capabilities:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.imap.starttls(context)
        self.imap.login(self.user, self.password)
        return self

    def __exit__(self, *_):
        self.imap.logout()

    def empty(self):
        """Empties the inbox and the folders of an earlier run."""
        folders = ['"INBOX"', *filter(None, (self.folder(name) for name in (ERROR_FOLDER.encode(), DEBUG_FOLDER_UTF7)))]
        for folder in folders:
            _, [count] = self.done("SELECT", self.imap.select(folder))
            if int(count):
                self.done("STORE", self.imap.store("1:*", "+FLAGS.SILENT", "(\\Deleted)"))
                self.done("EXPUNGE", self.imap.expunge())
            self.done("CLOSE", self.imap.close())

    def fill(self, folder, mails):
        """Puts so many of the mails into the folder, and returns how many of them the server refused: gluon parses every header."""
        refused = 0
        for taken, mail in enumerate(mails):
            if taken - refused == MAILS:
                break
            try:
                self.done("APPEND", self.imap.append(folder, None, None, mail))
            except imaplib.IMAP4.error as error:
                if "invalid rfc5322 message" not in str(error):
                    raise
                refused += 1
        return refused

    def mark(self, folder, uid, flag):
        self.done("SELECT", self.imap.select(folder))
        self.done("STORE", self.imap.uid("STORE", uid.decode(), "+FLAGS", f"({flag})"))
        self.imap.unselect() if "UNSELECT" in self.imap.capabilities else self.imap.noop()

    def mails(self, folder):
        """Returns flags and digest of each mail by its UID."""
        # As bytes: imaplib would encode anything else as ASCII.
        self.done("EXAMINE", self.imap.select(folder, readonly=True))
        _, answer = self.done("FETCH", self.imap.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])"))
        mails = {}
        for index, part in enumerate(answer):
            if isinstance(part, tuple):
                # What the server names after the message's octets belongs to it.
                after = answer[index + 1] if index + 1 < len(answer) and isinstance(answer[index + 1], bytes) else b""
                attributes = part[0] + b" " + after
                uid = re.search(rb"\bUID (\d+)", attributes).group(1)
                flags = frozenset(re.search(rb"FLAGS \(([^)]*)\)", attributes).group(1).split())
                mails[uid] = Mail(flags - {RECENT}, digest(part[1]))
        return mails

    def folder(self, name):
        """Returns the folder, in quotes, as the server lists it, whatever stands before it; None if there is none."""
        _, lines = self.done("LIST", self.imap.list())
        for line in lines:
            found = re.fullmatch(rb'\(.*?\) (?:NIL|".*?") (?:"(.*)"|([^ ]*))', line or b"")
            listed = found and (found.group(1) or found.group(2))
            if listed and (listed == name or re.fullmatch(rb"INBOX[./]" + re.escape(name), listed)):
                return '"' + listed.decode() + '"'
        return None

    def holds(self, name, expected):
        """Looks whether a folder holds these mails, each once."""
        folder = self.folder(name)
        assert folder, f"there is no folder {name}"
        found = collections.Counter(mail.digest for mail in self.mails(folder).values())
        wanted = collections.Counter(expected.values())
        assert found == wanted, f"{name}: {found.total()} mails instead of {wanted.total()}, {(wanted - found).total()} are missing"

    @staticmethod
    def done(command, answer):
        assert answer[0] == "OK", f"{command}: {answer}"
        return answer


def quoted(value):
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def digest(octets):
    return hashlib.sha256(octets).hexdigest()[:16], len(octets)


def difference(found, expected):
    return {uid: (found.get(uid), expected.get(uid)) for uid in sorted({*found, *expected}) if found.get(uid) != expected.get(uid)}
