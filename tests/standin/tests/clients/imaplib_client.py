"""Reads a stand-in with Python's own libraries. Arguments: the line that um-standin prints, and a directory with the octets
of the mails that the inbox holds, as 1.eml, 2.eml, … Exits with an assertion if anything is not as it should be."""

import imaplib
import json
import pathlib
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

where = json.loads(sys.argv[1])
expected = {int(file.stem): file.read_bytes() for file in pathlib.Path(sys.argv[2]).glob("*.eml")}
tls = ssl.create_default_context(cafile=where["ca_file"])
user = where["users"][0]


def token(secret):
    form = urllib.parse.urlencode({
        "grant_type": "client_credentials",
        "client_id": where["clients"][0]["id"],
        "client_secret": secret,
        "scope": "https://outlook.office365.com/.default",
    })
    with urllib.request.urlopen(where["token_uri"], form.encode(), context=tls) as answer:
        return json.load(answer)["access_token"]


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


try:
    token("wrong")
    raise AssertionError("a wrong secret was taken")
except urllib.error.HTTPError as error:
    assert error.code == 401
    assert json.load(error)["error_codes"] == [7000215]

access_token = token(where["clients"][0]["secret"])

refused = imaplib.IMAP4_SSL(where["host"], where["imap_port"], ssl_context=tls)
try:
    refused.authenticate("XOAUTH2", lambda _: b"user=%s\x01auth=Bearer wrong\x01\x01" % user.encode())
    raise AssertionError("a wrong token was taken")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATE failed." in str(error), error
refused.shutdown()

plain = imaplib.IMAP4(where["host"], where["starttls_port"])
ok(plain.starttls(tls))
imap = imaplib.IMAP4_SSL(where["host"], where["imap_port"], ssl_context=tls)
for connection in (plain, imap):
    ok(connection.authenticate("XOAUTH2", lambda _: f"user={user}\x01auth=Bearer {access_token}\x01\x01".encode()))
ok(plain.noop())
assert plain.logout()[0] == "BYE"

assert ok(imap.namespace())[0] == b'(("" "/")) NIL NIL'
folders = ok(imap.list())
assert rb'(\HasNoChildren) "/" INBOX' in folders, folders
assert ok(imap.select("INBOX"))[0] == str(len(expected)).encode()
assert imap.response("UIDVALIDITY")[1] == [b"14"]

uids = [int(uid) for uid in ok(imap.uid("SEARCH", None, "ALL"))[0].split()]
assert uids == sorted(expected), uids
assert ok(imap.search(None, "UNSEEN"))[0] == ok(imap.search(None, "UNDELETED"))[0]
assert imap.uid("SEARCH", "CHARSET", "UTF-8", "ALL")[0] == "NO"


def bodies(parts):
    found = {}
    for at, part in enumerate(parts):
        if isinstance(part, tuple):
            around = part[0] + (parts[at + 1] if at + 1 < len(parts) and isinstance(parts[at + 1], bytes) else b"")
            found[int(re.search(rb"UID (\d+)", around)[1])] = part[1]
    return found


assert bodies(ok(imap.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])"))) == expected
for item in ("(RFC822.SIZE ENVELOPE BODYSTRUCTURE)", "FULL", "(BODY[HEADER.FIELDS (SUBJECT)] BODY[TEXT])"):
    ok(imap.uid("FETCH", "1:*", item))
piece = ok(imap.uid("FETCH", "2", "(BODY.PEEK[]<100.50>)"))
assert bodies(piece) == {2: expected[2][100:150]}, piece

assert b"\\Flagged" in ok(imap.uid("STORE", "1", "+FLAGS", r"(\Flagged)"))[0]
assert ok(imap.uid("SEARCH", None, "FLAGGED"))[0] == b"1"
ok(imap.create('"Bounces/Hard"'))
assert imap.create("Bounces")[0] == "NO"
ok(imap.uid("COPY", "1:2", "Bounces/Hard"))
assert imap.response("COPYUID")[1] in ([b"14 1:2 1:2"], [None])
assert imap.uid("COPY", "1", "Nowhere")[0] == "NO"

imaplib.Commands.setdefault("MOVE", ("SELECTED",))
ok(imap.uid("MOVE", "3", "Bounces/Hard"))
assert 3 not in [int(uid) for uid in ok(imap.uid("SEARCH", None, "ALL"))[0].split()]
ok(imap.uid("STORE", "4:5", "+FLAGS.SILENT", r"(\Deleted)"))
ok(imap.uid("EXPUNGE", "4"))
left = [int(uid) for uid in ok(imap.uid("SEARCH", None, "ALL"))[0].split()]
assert 4 not in left and 5 in left, left
ok(imap.expunge())

added = b"Subject: appended\r\n\r\nline\r\n"
ok(imap.append("Bounces/Hard", r"(\Seen)", '"03-Feb-2026 01:02:03 +0100"', added))
assert ok(imap.status("Bounces/Hard", "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"))[0].startswith(b"Bounces/Hard (MESSAGES 4")
assert ok(imap.select("Bounces/Hard", readonly=True)) == [b"4"]
assert bodies(ok(imap.uid("FETCH", "1:*", "(UID BODY[])"))) == {
    1: expected[1], 2: expected[2], 3: expected[3], 4: added,
}
assert imap.uid("STORE", "1", "+FLAGS", r"(\Seen)")[0] == "NO"
ok(imap.unselect())
ok(imap.create(b'"Entw&APw-rfe"'.decode()))
ok(imap.rename('"Entw&APw-rfe"', '"R&-D"'))
assert rb'(\HasNoChildren) "/" "R&-D"' in ok(imap.list()) or rb'(\HasNoChildren) "/" R&-D' in ok(imap.list())
ok(imap.delete('"R&-D"'))
assert imap.logout()[0] == "BYE"
print("well")
