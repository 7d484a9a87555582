#!/usr/bin/env python3
"""fill.py MAILDIR SOURCE…: puts mails (files, or the *.eml of directories, in the order of their names) into a Maildir as Dovecot keeps them.

    tests/corpus/fill.py "$UM_TEST_DIR/mail/$client_id@example.test" "$UM_TEST_CORPUS"            # unread
    tests/corpus/fill.py --flags S "$UM_TEST_DIR/mail/$client_id@example.test/.Archive" a.eml     # read, in the folder Archive

Makes the Maildir where there is none, below a directory that exists; everything belongs to that directory's owner. In a new mailbox the mails get the UIDs 1, 2, 3 …
"""

import argparse
import os
import pathlib


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("maildir", type=pathlib.Path)
    options.add_argument("sources", type=pathlib.Path, nargs="+")
    options.add_argument("--flags", help="Maildir flags in alphabetical order: F flagged, S seen, T deleted; goes to cur/ instead of new/")
    arguments = options.parse_args()
    files = [file for source in arguments.sources for file in (sorted(source.glob("*.eml")) if source.is_dir() else [source])]
    fill(arguments.maildir, files, arguments.flags)
    print(f"{len(files)} mails in {arguments.maildir}")


def fill(maildir, files, flags=None):
    """`flags` None: unread and new to the server."""
    owner = maildir.parent.stat()

    def give(path):
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)

    for directory in [maildir, maildir / "cur", maildir / "new", maildir / "tmp"]:
        if not directory.is_dir():
            directory.mkdir(mode=0o700)
            give(directory)
    present = sum(1 for directory in ("cur", "new") for _ in (maildir / directory).iterdir())
    for number, file in enumerate(files, present):
        octets = file.read_bytes()
        # Dovecot gives UIDs by the time in the name, and takes the file's own time as INTERNALDATE.
        time = FIRST_TIME + number
        # S= is the size of the file, W= that of what IMAP shows. With a wrong W= Dovecot cuts the connection in the middle of the mail.
        name = f"{time}.M{number}P1.{file.stem},S={len(octets)},W={len(as_served(octets))}"
        target = maildir / "new" / name if flags is None else maildir / "cur" / f"{name}:2,{flags}"
        target.write_bytes(octets)
        os.utime(target, (time, time))
        give(target)


def as_served(octets):
    """What Dovecot 2.3 sends as BODY[] for a file with these octets."""
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"\0", b"\x80")


FIRST_TIME = 1_760_000_000

if __name__ == "__main__":
    main()
