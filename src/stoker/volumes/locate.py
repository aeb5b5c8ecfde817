"""Finding files in the indexes of volumes."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from stoker.model.encoding import Answer
from stoker.volumes.catalogue import Entry, read_index


@dataclass(frozen=True, slots=True, kw_only=True)
class Located(Entry, Answer):
    """A packed file: its block, the byte of it at which `tar` can begin to read, and its checksums.

    `position` is that byte where the volume's blocks are one after another, as on a tape. `name` is
    the file's name in the block, `path` where it was published, and `index` the file that lists it.
    `superseded` if a later volume holds a newer version of the item, as far as the store knows.
    """

    index: str
    superseded: bool = False


def locate(
    indexes: Iterable[tuple[str, Collection[str]]], names: Collection[str]
) -> Iterator[Located]:
    """Yield the files in these indexes whose key or path is one of `names`, in the order of reading.

    A path may be of a folder that was packed, or of a file in it. Each index comes with the keys of which
    a later volume holds a newer version.
    """
    for path, superseded in indexes:
        for entry in read_index(path):
            outer = f"data/{entry.key}/{entry.output}/{entry.path.rpartition('/')[2]}"
            inner = entry.path + entry.name.removeprefix(outer)
            if entry.key in names or entry.path in names or inner in names:
                fields = {name: getattr(entry, name) for name in entry.__slots__}
                yield Located(**fields, index=path, superseded=entry.key in superseded)
