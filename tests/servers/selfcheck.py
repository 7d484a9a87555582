#!/usr/bin/env python3
"""Shows, with Python's own clients, that the servers are what the tests take them for. Run by: tests/servers/with-servers python3 -B tests/servers/selfcheck.py"""

import imaplib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "corpus"))
from fill import as_served, fill


class Servers(unittest.TestCase):
    def test_a_token_opens_the_mailbox_and_its_mails_come_as_they_are_on_disk(self):
        for corpus in ("UM_TEST_CORPUS", "UM_TEST_REAL_BOUNCES"):
            if corpus == "UM_TEST_REAL_BOUNCES" and corpus not in os.environ:
                continue  # with-servers has said so
            client, mailbox = new_mailbox()
            files = sorted(pathlib.Path(os.environ[corpus]).glob("*.eml"))
            self.assertGreaterEqual(len(files), 600)
            fill(mailbox, files)
            imap = log_in(client)
            self.assertEqual(imap.select()[1], [str(len(files)).encode()])
            _, answer = imap.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
            mails = [part for part in answer if isinstance(part, tuple)]
            for uid, (file, (prefix, octets)) in enumerate(zip(files, mails, strict=True), 1):
                self.assertIn(b"UID %d " % uid, prefix)
                self.assertEqual(octets, as_served(file.read_bytes()), file)

    def test_help_is_no_command(self):
        with_servers = pathlib.Path(__file__).resolve().parent / "with-servers"
        for arguments, code in (["--help"], 0), (["--no-such-option"], 1), ([], 1):
            ended = subprocess.run([with_servers, *arguments], capture_output=True, text=True)
            self.assertEqual(ended.returncode, code)
            self.assertIn("with-servers COMMAND", ended.stdout if code == 0 else ended.stderr)

    def test_a_mail_can_be_marked_moved_and_expunged(self):
        client, mailbox = new_mailbox()
        fill(mailbox, sorted(pathlib.Path(os.environ["UM_TEST_CORPUS"]).glob("*.eml"))[:3])
        fill(mailbox / ".debug", [])
        imap = log_in(client)
        imap.select()
        self.assertEqual(imap.uid("MOVE", "1", "debug")[0], "OK")
        self.assertEqual(imap.uid("STORE", "2", "+FLAGS", r"(\Deleted)")[0], "OK")
        self.assertEqual(imap.uid("EXPUNGE", "2")[0], "OK")
        self.assertEqual(len(mails_in(mailbox)), 1)
        self.assertEqual(len(mails_in(mailbox / ".debug")), 1)

    def test_a_token_opens_no_other_mailbox(self):
        with self.assertRaisesRegex(imaplib.IMAP4.error, "AUTHENTICATIONFAILED"):
            log_in(str(uuid.uuid4()), token=token(str(uuid.uuid4())))

    def test_a_refused_login_takes_no_time(self):
        start = time.monotonic()
        for _ in range(5):
            with self.assertRaises(imaplib.IMAP4.error):
                log_in(str(uuid.uuid4()), token="not.a.token")
        self.assertLess(time.monotonic() - start, 3)

    def test_the_token_endpoint_takes_both_scopes_and_refuses_as_oauth2_wants(self):
        self.assertTrue(token(str(uuid.uuid4()), scope="https://outlook.office365.com/.default"))
        for fields, status, error in [
            ({"client_secret": "wrong"}, 401, "invalid_client"),
            ({"client_id": "no-guid"}, 401, "invalid_client"),
            ({"scope": "https://graph.example.test/.default"}, 400, "invalid_scope"),
            ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ]:
            with self.subTest(fields):
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    token(str(uuid.uuid4()), **fields)
                self.assertEqual((refused.exception.code, json.load(refused.exception)["error"]), (status, error))

    def test_the_password_opens_a_mailbox_too(self):
        client, _ = new_mailbox()
        imap = connect("UM_TEST_IMAP_PORT")
        self.assertEqual(imap.login(f"{client}@example.test", os.environ["UM_TEST_PASSWORD"])[0], "OK")

    def test_starttls_turns_a_plain_connection_into_one_with_tls(self):
        imap = imaplib.IMAP4("localhost", int(os.environ["UM_TEST_STARTTLS_PORT"]))
        self.assertEqual(imap.starttls(trust())[0], "OK")

    def test_each_dialect_differs_in_what_it_is_for(self):
        for name, present, absent in [
            ("", "SASL-IR UIDPLUS MOVE", ""),
            ("_NO_SASL_IR", "UIDPLUS MOVE", "SASL-IR"),
            ("_NO_MOVE", "SASL-IR UIDPLUS", "MOVE"),
            ("_NO_UIDPLUS", "SASL-IR", "MOVE UIDPLUS"),
            ("_EXCHANGE", "SASL-IR UIDPLUS MOVE IMAP4", "LIST-EXTENDED CONDSTORE"),
        ]:
            with self.subTest(name):
                imap = connect("UM_TEST_IMAP_PORT" + name)
                banner = imap.welcome.decode().split()
                log_in(str(uuid.uuid4()), imap=imap)
                for capabilities in (banner, imap.capability()[1][0].decode().split()):
                    for capability in present.split():
                        # Dovecot tells of UIDPLUS and MOVE only after the login, unless it was told what to say.
                        if capabilities is not banner or name or capability == "SASL-IR":
                            self.assertIn(capability, capabilities)
                    for capability in absent.split():
                        self.assertNotIn(capability, capabilities)
        self.assertIn(b"Microsoft Exchange IMAP4 service is ready", connect("UM_TEST_IMAP_PORT_EXCHANGE").welcome)

    def test_separator_and_namespace_differ(self):
        for name, refused, taken in [("", "debug/x", "debug.x"), ("_SLASH", "debug.x", "debug/x"), ("_INBOX_ONLY", "debug", "INBOX.debug")]:
            with self.subTest(name):
                imap = log_in(str(uuid.uuid4()), imap=connect("UM_TEST_IMAP_PORT" + name))
                self.assertEqual(imap.create(refused)[0], "NO")
                self.assertEqual(imap.create(taken)[0], "OK")

    def test_the_wrong_certificates_are_wrong_in_one_way_each(self):
        for name, reason in [("WRONG_NAME", "Hostname mismatch"), ("EXPIRED", "certificate has expired"), ("OTHER_CA", "self-signed certificate in")]:
            with self.subTest(name), self.assertRaisesRegex(ssl.SSLCertVerificationError, reason):
                connect(f"UM_TEST_IMAP_PORT_{name}")
        context = ssl.create_default_context(cafile=os.environ["UM_TEST_OTHER_CA"])
        connect("UM_TEST_IMAP_PORT_OTHER_CA", context)

    def test_doveadm_reaches_the_servers(self):
        client, _ = new_mailbox()
        imap = log_in(client)
        imap.select()
        configuration = f"{os.environ['UM_TEST_DIR']}/dovecot/standard/dovecot.conf"
        subprocess.run(["doveadm", "-c", configuration, "mailbox", "create", "-u", f"{client}@example.test", "Archive"], check=True, capture_output=True)
        self.assertIn(b'"." Archive', b"".join(imap.list()[1]))
        subprocess.run(["doveadm", "-c", configuration, "kick", f"{client}@example.test"], check=True, capture_output=True)
        with self.assertRaises((imaplib.IMAP4.abort, OSError)):
            for _ in range(3):
                imap.noop()

    def test_only_the_loopback_interface_is_served(self):
        addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in addresses - {address for address in addresses if address.startswith("127.")}:
            with self.assertRaises(OSError):
                socket.create_connection((address, int(os.environ["UM_TEST_IMAP_PORT"])), timeout=2)


def new_mailbox():
    """A client and the Maildir of its mailbox, which is not there yet."""
    client = str(uuid.uuid4())
    return client, pathlib.Path(os.environ["UM_TEST_DIR"]) / "mail" / f"{client}@example.test"


def mails_in(maildir):
    return [mail for directory in ("new", "cur") for mail in (maildir / directory).iterdir()]


def token(client, **other):
    fields = {"grant_type": "client_credentials", "client_id": client, "client_secret": os.environ["UM_TEST_SECRET"],
              "scope": "https://outlook.office.com/.default", **other}
    with urllib.request.urlopen(os.environ["UM_TEST_TOKEN_URI"], urllib.parse.urlencode(fields).encode(), context=trust()) as answer:
        return json.load(answer)["access_token"]


def connect(port, context=None):
    return imaplib.IMAP4_SSL("localhost", int(os.environ[port]), ssl_context=context or trust())


def log_in(client, imap=None, token=None):
    imap = imap or connect("UM_TEST_IMAP_PORT")
    bearer = token or globals()["token"](client)
    answers = iter([f"user={client}@example.test\1auth=Bearer {bearer}\1\1".encode(), b""])  # the empty one is for the challenge after a refusal
    imap.authenticate("XOAUTH2", lambda challenge: next(answers))
    return imap


def trust():
    return ssl.create_default_context(cafile=os.environ["UM_TEST_CA"])


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # imaplib leaves it to the end of the process to close connections
