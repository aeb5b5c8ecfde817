"""Names in a list, one by one, so that each that cannot be taken is refused with its line.

A list of files names files: a folder in it would stand for all that is below it, which a list that was
decoded wrongly, or a slip, must never do.
"""

import os
from collections.abc import Callable, Iterable, Iterator

from stoker.intake.decoding import wrong_bytes
from stoker.intake.nearest_name import Nearby
from stoker.intake.pushed import Listing
from stoker.model.item import NewItem

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
    is_path = listing.pipeline.items.has_path
    nearby = Nearby()
    at, written = 0, ""

    def refuse(message: str) -> None:
        hint = nearby.hint(folder, written) if is_path else ""
        listing.refuse(f"`{name}`, line {at}: {message}{hint}")

    def texts() -> Iterator[str]:
        nonlocal at, written
        for number, text in names:
            at, written = number, text
            shown = None if is_path else wrong_bytes(written)
            if shown is not None:
                refuse(
                    f"has bytes that are not UTF-8 (in Latin-1 they are `{shown}`); save the list "
                    "as UTF-8"
                )
                continue
            yield os.path.join(folder, written) if is_path else written

    # Each name is asked for when all before it has been dealt with: `at` is the line of the item.
    for item in listing.refusing_to(refuse).names(texts(), opens_folders=False):
        if on_row is not None:
            on_row(at, item)
        yield item
