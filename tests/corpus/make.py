#!/usr/bin/env python3
"""make.py OUT [--count N]: writes N bounces of many mail systems and the odd ones of odd.py into the new directory OUT, and OUT/manifest.jsonl.

The same call makes the same bytes on every machine. Each line of the manifest is {"file": …, "kind": …}; the kind is the outcome that Universal Messenger
should come to, in lower case, or "unrecognised". All texts are our own, in the formats of the systems named; all addresses are example ones.
"""

import argparse
import json
import pathlib
import random
import sys

import odd
from systems import SYSTEMS


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("out", type=pathlib.Path)
    options.add_argument("--count", type=int, default=629)
    arguments = options.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if any(arguments.out.iterdir()):
        sys.exit(f"make.py: {arguments.out} is not empty")

    with open(arguments.out / "manifest.jsonl", "w", encoding="ascii", newline="\n") as manifest:
        total = 0
        for name, kind, octets in [*bounces(arguments.count), *odd.mails()]:
            (arguments.out / f"{name}.eml").write_bytes(octets)
            manifest.write(json.dumps({"file": f"{name}.eml", "kind": kind}) + "\n")
            total += 1
    print(f"{total} mails in {arguments.out}")


def bounces(count):
    """(name, kind, octets) of each: one mail of each system in turn, round after round, so that every count has them all."""
    for number in range(count):
        system = SYSTEMS[number % len(SYSTEMS)]
        kind, octets = sized(system, number)
        # Most servers keep mail as Unix does; some write what came over the wire.
        if number % 7 == 3:
            octets = octets.replace(b"\n", b"\r\n")
        yield f"{number + 1:04}-{system.__name__}", kind, octets


def sized(system, number):
    """A mail of 3 to 46 kB: the newsletter that is returned in it is made as long as is missing."""
    aim = random.Random(f"size {number}").choice(AIMS)
    length = 0
    for _ in range(8):
        kind, octets = system(random.Random(f"bounce {number}"), length)
        missing = aim - len(octets)
        if len(octets) in range(SMALLEST, LARGEST + 1) and missing <= 400:
            break
        length = max(0, length + missing)
    assert SMALLEST <= len(octets) <= LARGEST, (system.__name__, number, len(octets))
    return kind, octets


SMALLEST, LARGEST = 3_000, 46_000
# As in real mailboxes: most of them small, some with a whole newsletter in them.
AIMS = [3_400, 3_600, 3_900, 4_200, 4_600, 5_000, 5_500, 6_000, 7_000, 8_500, 12_000, 18_000, 30_000, 44_000]

if __name__ == "__main__":
    main()
