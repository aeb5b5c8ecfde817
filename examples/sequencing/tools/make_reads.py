"""Deliver accessions as a sequencing centre would: pairs of FASTQ files that arrive in `incoming`.

`make_reads.py N` draws reads of N accessions from the transcripts that Debian's package kallisto-examples
ships. One pair is mismatched, and one run has qualities that nobody knows; the last file is still being
copied when this ends, by a process that goes on for some seconds. `make_reads.py --again` copies the
mismatched pair again, as it should be.
"""

import gzip
import os
import random
import subprocess
import sys
import time
from pathlib import Path

TRANSCRIPTS = "/usr/share/doc/kallisto/test/transcripts.fasta.gz"
INCOMING, CONTENT = Path("incoming"), Path("content")
MISMATCHED, UNKNOWN = ("SRP001", "r1"), ("SRP002", "r1")
LENGTH, FRAGMENT = 50, 180
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def transcripts():
    """Return the sequences to draw from."""
    with gzip.open(TRANSCRIPTS, "rt") as file:
        return ["".join(one.split("\n")[1:]) for one in file.read().split(">")[1:]]


def reads(sequences, chance, n, offset):
    """Yield pairs of records, with qualities above this offset."""
    weights = [chance.expovariate(1) * len(one) for one in sequences]
    for number, sequence in enumerate(chance.choices(sequences, weights, k=n)):
        at = chance.randrange(max(1, len(sequence) - FRAGMENT))
        fragment = sequence[at : at + FRAGMENT]
        mates = fragment[:LENGTH], fragment[::-1].translate(COMPLEMENT)[:LENGTH]
        quality = "".join(chr(offset + chance.randint(20, 40)) for _ in range(LENGTH))
        yield [
            f"@read{number}/{mate}\n{text}\n+\n{quality[: len(text)]}\n"
            for mate, text in enumerate(mates, 1)
        ]


def write(accession, run, pairs, *, lost=0):
    """Two files arrive whole, each in one move; the second lacks its first reads, if any are `lost`."""
    folder = INCOMING / accession
    folder.mkdir(parents=True, exist_ok=True)
    for mate in (1, 2):
        text = "".join(pair[mate - 1] for pair in pairs[lost if mate == 2 else 0 :])
        path = folder / f"{run}_{mate}.fastq.gz"
        path.with_suffix(".part").write_bytes(gzip.compress(text.encode(), 6, mtime=0))
        path.with_suffix(".part").rename(path)


def copy_slowly(path):
    """The file is only half there, and the rest comes in pieces, as from a slow server."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    if os.fork():
        return
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    with path.open("ab") as file:
        for at in range(len(data) // 2, len(data), len(data) // 10):
            time.sleep(0.5)
            file.write(data[at : at + len(data) // 10])
            file.flush()
    os._exit(0)


def runs(accessions):
    """Yield accession and run, for all runs."""
    for number in range(1, accessions + 1):
        for run in range(1, 2 + number % 3):
            yield f"SRP{number:03}", f"r{run}"


def main():
    """Do what the command line asks for."""
    sequences = transcripts()
    chance = random.Random(20)  # noqa: S311 - the same reads each time
    size = 3_000
    if sys.argv[1] == "--again":
        pairs = list(reads(sequences, chance, size, 33))
        write(*MISMATCHED, pairs)
        print(f"copied again: {'/'.join(MISMATCHED)}")
        return
    subprocess.run(
        ["kallisto", "index", "-i", "reference.idx", TRANSCRIPTS],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    CONTENT.mkdir(exist_ok=True)
    everything = list(runs(int(sys.argv[1])))
    for accession in {one for one, _ in everything}:
        names = [run for other, run in everything if other == accession]
        (CONTENT / accession).write_text("".join(f"{accession}/{run}\n" for run in names))
    for one in everything:
        n = chance.randint(size // 2, size)
        # 33 and 64 are the usual encodings; one run has qualities far above both.
        offset = 80 if one == UNKNOWN else chance.choice([33, 64])
        write(*one, list(reads(sequences, chance, n, offset)), lost=5 if one == MISMATCHED else 0)
    accession, run = everything[-1]
    copy_slowly(INCOMING / accession / f"{run}_2.fastq.gz")
    print(
        f"delivered {len(everything)} runs of {sys.argv[1]} accessions; the last file is still being copied"
    )


main()
