"""The header of a raw file, as data acquisition writes it: called by Stoker for each new file."""

from pathlib import Path


def header(item: str) -> dict[str, object]:
    """Return run, part, date and month of a raw file, as `meta` of its item."""
    known: dict[str, str] = {}
    with Path(item).open("rb") as file:
        for line in file:
            name, _, value = line.decode("ascii").partition("=")
            if not value:
                break
            known[name.strip()] = value.strip()
    date = known["Date"].partition(" ")[0]
    return {
        "run": known["Run"],
        "part": int(known["Part"]),
        "date": date,
        "month": date[:7],
    }
