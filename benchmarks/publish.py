"""How long many small outputs take to be published, beside a copy of the same files by `cp`.

An attempt makes files in its scratch, and they are published as one folder, or one by one as they were
picked. The baseline is `cp -r` of the same files to the same file system, and `sync`. Both leave the
files durable; Stoker measures and records them as well.

    python benchmarks/publish.py [--files 10000] [--bytes 1000] [--rounds 3] [--folder DIR]
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import stoker

PIPELINE = """
[project]
name = "publish"
[worker]
scratch = "scratch"
[pipelines.folder]
items = "records"
[pipelines.folder.steps.make]
run = "cp -r {made} {{out.files}}"
outputs.files = "folder/{{key}}/"
[pipelines.picked]
items = "records"
[pipelines.picked.steps.make]
run = "cp -r {made} made"
outputs.files = {{ from = "made/*", to = "picked/{{key}}/" }}
"""


def main() -> None:
    """Print the median of each way, and its ratio to the baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to measure")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix=".publish-") as name:
        folder = Path(name)
        make(folder / "made", given.files, given.bytes)
        (folder / "stoker.toml").write_text(PIPELINE.format(made=folder / "made"))
        times: dict[str, list[float]] = {"cp -r, sync": [], "folder": [], "picked": []}
        for round_ in range(given.rounds):
            times["cp -r, sync"].append(seconds(lambda: copy(folder)))
            for way in ("folder", "picked"):
                times[way].append(publishing_s(folder, way, f"r{round_}"))
    base_s = statistics.median(times["cp -r, sync"])
    print(f"{given.files:,} files of {given.bytes:,} bytes, median of {given.rounds}")
    for way, took in times.items():
        median_s = statistics.median(took)
        print(f"{way:12} {median_s:7.2f} s   {median_s / base_s:5.2f} x   {format_all(took)}")


def format_all(took: list[float]) -> str:
    """Return every round's time."""
    return " ".join(f"{one:.2f}" for one in took)


def make(folder: Path, files: int, size_bytes: int) -> None:
    """There are so many files, all of which are on disk."""
    folder.mkdir()
    for number in range(files):
        (folder / f"{number:06}.dat").write_bytes(number.to_bytes(4, "big") * (size_bytes // 4))
    subprocess.run(["sync"], check=True)


def copy(folder: Path) -> None:
    """Do what the baseline does."""
    subprocess.run(["cp", "-r", folder / "made", folder / "copied"], check=True)
    subprocess.run(["sync"], check=True)
    shutil.rmtree(folder / "copied")


def seconds(act: Callable[[], None]) -> float:
    """Return how long it takes."""
    subprocess.run(["sync"], check=True)
    began_s = time.monotonic()
    act()
    return time.monotonic() - began_s


def publishing_s(folder: Path, pipeline: str, key: str) -> float:
    """Return how long one attempt's outputs take from the end of its command to their record."""
    subprocess.run(["sync"], check=True)
    with stoker.open(folder) as project:
        project.push(pipeline, [key])
        project.run(pipeline)
        (row,) = [row for row in project.attempts() if (row.pipeline, row.item) == (pipeline, key)]
    if row.publishing_at is None or row.ended_at is None:
        raise SystemExit(f"the attempt ended {row.state}: {row.reason}")
    return (row.ended_at - row.publishing_at).total_seconds()


if __name__ == "__main__":
    main()
