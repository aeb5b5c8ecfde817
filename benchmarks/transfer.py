"""What `stoker transfer` costs: a large file and many small ones over ssh, beside plain rsync.

An sshd of this script's own on the loopback, so that the line costs nothing and the checksums most. Both
copy the same content to new names, in turns; the median of the rounds is printed.

    python benchmarks/transfer.py [--gigabytes 1] [--files 10000] [--rounds 3] [--folder DIR]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from sshd import Sshd

STOKER = Path(sys.executable).with_name("stoker")
_BLOCK = 1 << 24
_SMALL = 4096


def main() -> None:
    """Print each figure in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to measure")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix=".transfer-") as name:
        folder = Path(name)
        (folder / "sshd").mkdir()
        with Sshd(folder / "sshd") as host:
            env = os.environ | {"RSYNC_RSH": host.command}
            if given.gigabytes:
                large(folder, env, size=int(given.gigabytes * (1 << 30)), rounds=given.rounds)
            if given.files:
                small(folder, env, files=given.files, rounds=given.rounds)


def large(folder: Path, env: dict[str, str], *, size: int, rounds: int) -> None:
    """One file."""
    source = folder / "large"
    with source.open("wb") as file:
        for begin in range(0, size, _BLOCK):
            file.write(os.urandom(min(_BLOCK, size - begin)))
    to = folder / "to"
    to.mkdir()
    plain = ["rsync", str(source), f"site:{to}/rsync"]
    own = [str(STOKER), "transfer", str(source), f"site:{to}/stoker"]
    compare(
        f"one file of {size / (1 << 30):g} GiB", plain, own, to, env, rounds=rounds, amount=size / (1 << 20), unit="MiB",
    )  # fmt: skip
    source.unlink()


def small(folder: Path, env: dict[str, str], *, files: int, rounds: int) -> None:
    """Many of 4 KiB each, in a hundred folders, by a list of their names."""
    source = folder / "small"
    names = [f"{number % 100:02}/{number:05}.dat" for number in range(files)]
    for name in names:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(_SMALL))
    listed = folder / "names"
    listed.write_text("".join(f"{name}\n" for name in names))
    to = folder / "to"
    to.mkdir(exist_ok=True)
    plain = ["rsync", f"--files-from={listed}", str(source), f"site:{to}/rsync"]
    own = [str(STOKER), "transfer", str(source), f"site:{to}/stoker", "--files-from", str(listed)]
    compare(
        f"{files:,} files of 4 KiB", plain, own, to, env, rounds=rounds, amount=files, unit="files"
    )


def compare(
    what: str, plain: list[str], own: list[str], to: Path, env: dict[str, str], *, rounds: int,
    amount: float, unit: str,
) -> None:  # fmt: skip
    """Print both rates and their ratio."""
    found: dict[str, list[float]] = {"rsync": [], "stoker": []}
    for _ in range(rounds):
        for name, command in ("rsync", plain), ("stoker", own):
            found[name].append(seconds(lambda command=command: run(command, env)))
        for path in to.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    rate = {name: amount / statistics.median(times) for name, times in found.items()}
    print(what)
    for name, one in rate.items():
        print(f"  {name:8} {one:10.0f} {unit}/s")
    print(f"  ratio    {rate['stoker'] / rate['rsync']:10.2f}", flush=True)


def run(command: list[str], env: dict[str, str]) -> None:
    """The command has succeeded."""
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def seconds(act: Callable[[], object]) -> float:
    """Return how long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
