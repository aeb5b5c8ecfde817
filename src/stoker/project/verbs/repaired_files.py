"""Files that a person repaired before retrying: their new size and time go into the record."""

import os
import stat
from typing import TYPE_CHECKING

from stoker.intake.fields import is_of_parts
from stoker.intake.found import measure_folder, moment
from stoker.model.saying import has_content
from stoker.store.arrivals.repaired_files import Recorded, failed_items, take_repaired

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.store.unit import Store


def note_repairs(store: "Store", selection: "Selection") -> None:
    """The record has the files of the selected failed items as they are now.

    A later look at their source finds nothing new in them then. Items of which a step is done are
    left to that look: what was done with the old content is to be redone. So are those of several
    parts.
    """
    for page in failed_items(store, selection):
        changed = [now for one in page if (now := _if_changed(one)) is not None]
        if changed:
            take_repaired(store, changed)


def _if_changed(one: Recorded) -> Recorded | None:
    """Return the item with the content that is there now; None if it is the known one, or gone."""
    path, fingerprint = one.item.path or "", one.item.fingerprint
    if is_of_parts(fingerprint):
        return None
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            size_bytes, mtime_ns, _ = measured = measure_folder(path)
            content = measured.content
        else:
            size_bytes, mtime_ns = found.st_size, found.st_mtime_ns
            content = f"{size_bytes}:{mtime_ns}"
    except OSError:
        return None  # the attempt that follows says what is wrong with it
    if has_content(fingerprint, content):
        return None
    return one.now(size_bytes=size_bytes, mtime_us=moment(mtime_ns), content=content)
