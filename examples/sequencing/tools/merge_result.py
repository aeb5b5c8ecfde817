"""Merge the runs of an accession into two tables: rows are transcripts, columns are runs."""

import argparse
import csv
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--files-from", required=True)
parser.add_argument("--tpm", required=True)
parser.add_argument("--counts", required=True)
asked = parser.parse_args()

columns = {}
for path in map(Path, Path(asked.files_from).read_text().splitlines()):
    with path.open(newline="") as file:
        columns[path.stem] = {row["target_id"]: row for row in csv.DictReader(file, delimiter="\t")}
rows = sorted({name for column in columns.values() for name in column})
for target, value in ((asked.tpm, "tpm"), (asked.counts, "est_counts")):
    with Path(target).open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["transcript", *columns])
        writer.writerows(
            [name, *(column[name][value] for column in columns.values())] for name in rows
        )
