"""How long `stoker work` takes from the start of its process to the first claim, and what that costs.

`python benchmarks/start.py [--rounds N] [--imports]`. Starts a PostgreSQL of its own. The task that is
claimed reads in /proc the processor time of every process above it up to the command's first: that is
what the start cost, less than a hundredth of a second after the claim. In turns with it runs
`python -c "import sqlalchemy, psycopg"`. `--imports` prints the modules that the worker alone loads.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import servers

STOKER = str(Path(sys.executable).with_name("stoker"))
IMPORT = [sys.executable, "-c", "import sqlalchemy, psycopg"]
FILE = """
[project]
name = "bench"
[store]
url = "{url}"
[pipelines.p]
items = "records"
[pipelines.p.steps.s]
run = '''
process=$PPID
while [ "$process" != {own} ]; do
  cat /proc/$process/stat >> {seen}
  process=$(sed 's/.*) //' /proc/$process/stat | cut -d" " -f2)
done
'''
"""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def import_cpu_s() -> float:
    """Return the processor time of the import."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(IMPORT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def start(folder: Path, key: str) -> tuple[float, float]:
    """Return the seconds until the claim of one task, and the processor time until it runs."""
    seen = folder / "seen"
    seen.unlink(missing_ok=True)
    subprocess.run([STOKER, "push", "p", key], cwd=folder, check=True, capture_output=True)
    began = time.time()
    subprocess.run([STOKER, "work", "--drain"], cwd=folder, check=True, capture_output=True)
    rows = [line.rpartition(") ")[2].split() for line in seen.read_text().splitlines()]
    cpu_s = sum(sum(map(int, row[11:15])) for row in rows) * TICK_S  # children that ended included
    found = subprocess.run(
        [STOKER, "attempts", key, "--json"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    claimed = found.partition('"claimed_at":')[2].split('"')[1]
    return datetime.fromisoformat(claimed).timestamp() - began, cpu_s


def modules(folder: Path) -> set[str]:
    """Return the names of the modules that a worker loads."""
    command = [sys.executable, "-X", "importtime", STOKER, "work", "--drain"]
    printed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stderr
    return {
        line.rpartition("|")[2].strip() for line in printed.splitlines() if "import time:" in line
    }


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--imports", action="store_true")
    options = parser.parse_args()
    server = servers.Postgresql()
    try:
        with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
            folder = Path(name)
            file = FILE.format(
                url=server.new_database("start"), own=os.getpid(), seen=folder / "seen"
            )
            (folder / "stoker.toml").write_text(file)
            start(folder, "first")  # makes the store
            found = [(import_cpu_s(), *start(folder, f"k{n}")) for n in range(options.rounds)]
            least_s, claim_s, cpu_s = (statistics.median(one) for one in zip(*found, strict=True))
            ratio = statistics.median(ours / least for least, _, ours in found)
            print(
                f"first claim after {claim_s:.2f} s; processor time {cpu_s:.2f} s, of the import "
                f"{least_s:.2f} s, {ratio:.2f} times (medians); load {os.getloadavg()[0]:.1f}"
            )
            if options.imports:
                print(*sorted(modules(folder)), sep="\n")
    finally:
        server.close()


if __name__ == "__main__":
    main()
