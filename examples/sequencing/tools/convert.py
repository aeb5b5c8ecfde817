"""Bring a pair into one form: mates checked, qualities with offset 33. `convert.py R1 R2 OUT1 OUT2`.

How qualities are encoded is seen from their range; for runs in `encodings.txt` (`RUN OFFSET` a line) it is
said there.
"""

import gzip
import itertools
import os
import sys
from pathlib import Path


def records(path):
    """Yield the records of a FASTQ file, four lines each."""
    with gzip.open(path, "rt") as file:
        while head := file.readline():
            yield head, file.readline(), file.readline(), file.readline()


def offset_of(pairs):
    """Return what the letters of the qualities are above."""
    said = Path(os.environ["STOKER_PROJECT"], "encodings.txt")
    for line in said.read_text().splitlines() if said.exists() else ():
        run, offset = line.split()
        if run == os.environ["STOKER_KEY"]:
            return int(offset)
    letters = {letter for pair in pairs for record in pair for letter in record[3].strip()}
    lowest, highest = ord(min(letters)), ord(max(letters))
    if lowest >= 33 and highest <= 33 + 45:
        return 33
    if lowest >= 59 and highest <= 64 + 45:
        return 64
    return fail(f"unknown quality encoding: letters from {min(letters)} to {max(letters)}")


def fail(reason):
    """End, with a reason that Stoker shows."""
    Path(os.environ["STOKER_REASON"]).write_text(f"{reason}\n")
    Path("convert.log").write_text(f"{reason}\nin {sys.argv[1]} and {sys.argv[2]}\n")
    sys.exit(1)


def main():
    """Do what the command line asks for."""
    pairs = []
    for one, other in itertools.zip_longest(records(sys.argv[1]), records(sys.argv[2])):
        if one is None or other is None or one[0].split("/")[0] != other[0].split("/")[0]:
            fail(f"mates differ at read {len(pairs) + 1}")
        pairs.append((one, other))
    shift = offset_of(pairs) - 33
    for mate in (0, 1):
        lines = []
        for pair in pairs:
            head, sequence, plus, quality = pair[mate]
            lines += [
                head,
                sequence,
                plus,
                "".join(chr(ord(one) - shift) for one in quality.strip()),
                "\n",
            ]
        # Without a time, so that the same reads are the same file: server B keeps what it has.
        Path(sys.argv[3 + mate]).write_bytes(gzip.compress("".join(lines).encode(), 6, mtime=0))


main()
