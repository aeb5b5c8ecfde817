"""Sum up the flagged granules of a year by month: `year_summary.py --files-from LIST --out FILE`."""

import argparse
import csv
from collections import Counter
from pathlib import Path

CAUSES = ("scanner", "spectrometer", "noise", "moon")


def main() -> None:
    """Read one table for each day, write one line for each month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files-from", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    days: Counter[str] = Counter()
    granules: Counter[str] = Counter()
    causes: Counter[tuple[str, str]] = Counter()
    for name in options.files_from.read_text(encoding="utf-8").splitlines():
        month = Path(name).stem[:7]
        days[month] += 1
        with Path(name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                granules[month] += 1
                causes.update((month, cause) for cause in CAUSES if row[cause] != "0")
    with options.out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["month", "days", "flagged", *CAUSES])
        for month in sorted(days):
            counts = (causes[month, cause] for cause in CAUSES)
            table.writerow([month, days[month], granules[month], *counts])


if __name__ == "__main__":
    main()
