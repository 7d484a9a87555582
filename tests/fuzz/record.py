#!/usr/bin/env python3
"""record.py: what Dovecot says in the dialogue that dialogues.rs conducts, as seeds for the fuzz targets.

    tests/servers/with-servers tests/fuzz/record.py

Each file is what the server sent, from its greeting on; those in seeds/responses begin after SELECT.
"""

import base64
import os
import pathlib
import socket
import sys
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "corpus"))
import fill  # noqa: E402

MAILS = [
    b"Subject: one\n\nbody\n",
    b"Subject: ends like a literal {5}\n\n* 1 FETCH (UID 7 BODY[] {3}\n) U5 OK done\n",
    bytes(range(256)) + b"\r\r\n",
    b"",
    b"X: y\n\n" + b"long " * 400,
    b"Subject: =?utf-8?q?Unzustellbar?=\nContent-Type: multipart/report\n\n--\n",
]

# As in dialogues.rs; the first four are those of login::open. Dovecot names its capabilities without being asked.
COMMANDS = [
    "U1 AUTHENTICATE PLAIN {plain}",
    'U2 ID ("name" "um-imap-oauth2" "version" "0.1.0")',
    'U3 LIST "" *',
    'U4 SELECT "INBOX"',
    "U5 NOOP",
    "U6 UID SEARCH UNSEEN UNDELETED",
    "U7 UID FETCH 1:4 (UID FLAGS INTERNALDATE BODY.PEEK[])",
    "U8 UID FETCH 5:6 (UID RFC822.SIZE)",
    "U9 UID FETCH 5:6 (UID FLAGS INTERNALDATE BODY.PEEK[])",
    'U10 UID MOVE 1 "debug"',
    'U11 CREATE "debug"',
    'U12 UID MOVE 1:2 "debug"',
    "U13 UID STORE 3 +FLAGS.SILENT (\\Deleted)",
    "U14 UID EXPUNGE 3",
    "U15 UID FETCH 4:5 (UID INTERNALDATE)",
    "U16 UID FETCH 4:6 (UID FLAGS INTERNALDATE BODY.PEEK[])",
]


def main():
    user = f"{uuid.uuid4()}@example.test"
    mail = pathlib.Path(os.environ["UM_TEST_DIR"]) / "mail"
    maildir = mail / user
    files = []
    for number, octets in enumerate(MAILS):
        file = pathlib.Path(os.environ["UM_TEST_DIR"]) / f"{number}.eml"
        file.write_bytes(octets)
        files.append(file)
    fill.fill(maildir, files)
    plain = base64.b64encode(f"\0{user}\0{os.environ['UM_TEST_PASSWORD']}".encode()).decode()
    with socket.create_connection(("127.0.0.1", int(os.environ["UM_TEST_STARTTLS_PORT"]))) as server:
        lines = server.makefile("rb")
        said = [lines.readline()]
        for command in COMMANDS:
            server.sendall(command.format(plain=plain).encode() + b"\r\n")
            said.append(answer(lines, command.split()[0].encode()))
    selected = 1 + next(n for n, command in enumerate(COMMANDS) if "SELECT" in command)
    # Nothing of what a mailbox is called, or of a process, is different the next time.
    write("session/dovecot", b"".join(said))
    write("responses/dovecot", b"".join(said[selected + 1:]))
    for command, octets in list(zip(COMMANDS, said[1:]))[selected:]:
        write("responses/dovecot-" + command.split()[0], octets)


def answer(lines, tag):
    """Everything up to the tagged line, literals included."""
    octets = b""
    while True:
        line = lines.readline()
        if not line:
            sys.exit(f"the connection ended in the answer to {tag}")
        octets += line
        if line.startswith(tag + b" "):
            return octets
        if line.endswith(b"}\r\n") and line.startswith((b"* ", b" ")) and b"{" in line:
            octets += lines.read(int(line[line.rindex(b"{") + 1:-3]))
            rest = lines.readline()
            octets += rest


def write(name, octets):
    (HERE / "seeds" / name).write_bytes(octets)


if __name__ == "__main__":
    main()
