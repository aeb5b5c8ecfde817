"""What is known of a granule list by its name: called by Stoker for each new item."""

from datetime import date
from pathlib import Path


def date_of(item: str) -> dict[str, object]:
    """Return the day of a list, as `meta` of its item."""
    when = date.fromisoformat(Path(item).stem)
    return {"date": when.isoformat(), "year": when.year, "day": when.timetuple().tm_yday}
