"""Names in a list, one by one, so that each that cannot be taken is refused with its line."""

import os
from collections.abc import Callable, Iterable, Iterator

from stoker.intake.listing import Listing
from stoker.intake.nearby import Nearby
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind

OnName = Callable[[int, NewItem], None]


def listed_items(
    listing: Listing,
    names: Iterable[tuple[int, str]],
    *,
    name: str,
    folder: str,
    on_row: OnName | None = None,
) -> Iterator[NewItem]:
    """Yield the items of a list called `name`, of names with their lines.

    Paths in it are relative to `folder`. A name that cannot be taken is refused, with its line and
    the nearest name that is there, and the rest is taken. `on_row` hears of each item that is
    yielded, before.
    """
    is_path = listing.pipeline.items is not ItemKind.RECORDS
    nearby = Nearby()
    at, written = 0, ""

    def refuse(message: str) -> None:
        hint = nearby.hint(folder, written) if is_path else ""
        listing.refuse(f"`{name}`, line {at}: {message}{hint}")

    quiet = listing.refusing_to(refuse)
    for at, written in names:
        whole = os.path.join(folder, written) if is_path else written
        for item in quiet.names((whole,)):
            if on_row is not None:
                on_row(at, item)
            yield item
