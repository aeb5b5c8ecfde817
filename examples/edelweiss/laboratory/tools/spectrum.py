"""Count the events of a run by detector and energy: spectrum.py LIST OUT, where LIST names tables of amplitudes."""

import csv
import sys
from collections import Counter
from pathlib import Path

BIN_KEV = 50


def main(listed: str, out: str) -> None:
    """Write the table of one run."""
    counts: Counter[tuple[str, int]] = Counter()
    for path in Path(listed).read_text(encoding="utf-8").splitlines():
        with Path(path).open(encoding="ascii", newline="") as file:
            for row in csv.DictReader(file):
                counts[row["detector"], int(float(row["keV"]) // BIN_KEV) * BIN_KEV] += 1
    with Path(out).open("w", encoding="ascii", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["detector", "keV", "events"])
        table.writerows([*place, events] for place, events in sorted(counts.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
