"""Temporary outputs at an outpost: deleted there by a visit, once nothing needs them any more."""

from typing import TYPE_CHECKING

from stoker.errors import Unavailable
from stoker.failpoints import hit
from stoker.outpost.dial import Line
from stoker.outpost.plain import to_plain
from stoker.store.holdings.temporary import begin_removal, end_removal

if TYPE_CHECKING:
    from stoker.store.unit import Store


def remove_temporary(store: "Store", line: Line, place: int) -> int:
    """Some of the temporary outputs that nothing needs are gone there; return how many.

    What is not as it was published stays. The store records first that they are gone: a visit that is
    cut short is made up for by the next one, and no step is begun that would miss its input.
    """
    files = begin_removal(store, place)
    if not files:
        return 0
    hit("visit.removing")
    asked = [[one.path, to_plain(one.content)] for one in files]
    kept = line.ask("remove", {"files": asked}).get("kept")
    if not (isinstance(kept, list) and len(kept) == len(files)):
        raise Unavailable("the outpost's answer about temporary outputs makes no sense")
    stays = [None if path is None else one.path for one, path in zip(files, kept, strict=True)]
    end_removal(store, list(zip(files, stays, strict=True)))
    return kept.count(None)
