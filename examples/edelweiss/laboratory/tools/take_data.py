"""Stand in for data acquisition: raw files grow, and each has a document in the database.

    python3 tools/take_data.py sl29a000 sl29a001 --files 4

For each run, one file after another in raw/: its document is "acquiring" while it grows and "closed" once it
is whole. At the end comes the run's log, which names its files. The samples are made, always the same ones:
noise, and now and then the pulse of a particle.
"""

import argparse
import array
import base64
import http.client
import json
import math
import random
import time
from pathlib import Path

SERVER, DATABASE = "127.0.0.1:5984", "edw"
USER = "stoker"
RATE_HZ = 1000
CHANNELS = 2
_DECAY = [math.exp(-at / 12) for at in range(60)]


def main() -> None:
    """Take the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--files", type=int, default=4, help="of each run")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a file grows")
    given = parser.parse_args()
    for number, run in enumerate(given.runs):
        take(run, day=12 + number, files=given.files, seconds=given.seconds)


def take(run: str, *, day: int, files: int, seconds: float) -> None:
    """One run: its files, their documents, its log."""
    names = []
    for part in range(files):
        name = f"{run}_{part:03}"
        path = Path("raw", name).resolve()
        document = {"type": "daqdocument", "run": run, "file": str(path), "status": "acquiring"}
        document["_rev"] = put(name, document)
        write(path, samples(name), run=run, part=part, day=day, seconds=seconds)
        put(name, document | {"status": "closed"})
        names.append(name)
    Path("raw", f"{run}_log").write_text("".join(f"{name}\n" for name in names), encoding="ascii")
    print(f"{run}: {files} files closed", flush=True)


def samples(name: str) -> bytes:
    """Four seconds of both channels, interleaved, as 16-bit numbers."""
    rng = random.Random(name)  # noqa: S311 - always the same data
    length = 4 * RATE_HZ
    found = [[rng.gauss(0, 3) for _ in range(length)] for _ in range(CHANNELS)]
    for channel in found:
        for _ in range(rng.randint(3, 8)):
            begin, height = rng.randrange(100, length - 100), rng.uniform(80, 4000)
            for at, share in enumerate(_DECAY):
                channel[begin + at] += height * share
    both = [int(max(-32000, min(32000, one))) for pair in zip(*found, strict=True) for one in pair]
    return array.array("h", both).tobytes()


def write(path: Path, data: bytes, *, run: str, part: int, day: int, seconds: float) -> None:
    """The file grows to its whole length in so many seconds."""
    path.parent.mkdir(exist_ok=True)
    header = {
        "Run": run,
        "Part": f"{part:03}",
        "Date": f"2026-11-{day:02} 21:{part:02}:00",
        "Sampling": f"{RATE_HZ} Hz",
        "Channels": str(CHANNELS),
    }
    with path.open("wb", buffering=0) as file:
        file.write("".join(f"{name} = {value}\n" for name, value in header.items()).encode())
        file.write(b"* Data\n")
        for begin in range(0, len(data), 4000):
            file.write(data[begin : begin + 4000])
            time.sleep(seconds * 4000 / len(data))


def put(name: str, document: dict[str, str]) -> str:
    """The document is in the database; return its revision."""
    password = Path("couch-password").read_text(encoding="ascii").strip()
    account = base64.b64encode(f"{USER}:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {account}"}
    server = http.client.HTTPConnection(SERVER, timeout=30)
    server.request("PUT", f"/{DATABASE}/{name}", json.dumps(document), headers)
    answer = json.load(server.getresponse())
    server.close()
    return str(answer["rev"])


if __name__ == "__main__":
    main()
