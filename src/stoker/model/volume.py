"""What goes into an archive volume, and how much room it takes there.

A volume is a folder of blocks, each a tar file of whole members, with an index. Room is computed before
anything is packed, so that a volume is never larger than was said; it errs on the large side.
"""

from dataclasses import dataclass

_UNIT = 512  # of tar: headers and contents begin at multiples of it
_HEADERS = 3 * _UNIT  # of a file: its own, and one for what that cannot hold
_LINES = 320  # of a file in the list of checksums and in the index, beside its names
_NAMES = 4  # how often a file's name is written: header, checksums, and twice in the index
_INNER_NAME = 255  # of a file in a folder: what is not known before it is packed
_RESERVE = 32 * 1024  # of one block: its ends, and what says how it is made
_SHARE = 1 << 14  # of all a volume's bytes, one in so many is for the ends of its blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFile:
    """An output that goes into a volume, as it was recorded; a temporary one may be `removed`."""

    step: str
    name: str
    path: str
    size_bytes: int
    checksum: str
    removed: bool = False


def room_bytes(key: str, path: str, size_bytes: int, *, files: int | None = None) -> int:
    """Return how much a file takes in a volume at most, or a folder of so many `files`."""
    name = (
        64 + len(key.encode("utf-8", "surrogatepass")) + len(path.encode("utf-8", "surrogatepass"))
    )
    if files is None:
        return _rounded(size_bytes) + _HEADERS + _LINES + _NAMES * name
    each = _HEADERS + _UNIT + _LINES + _NAMES * (name + _INNER_NAME)
    return _rounded(size_bytes) + (files + 1) * each


def _rounded(size_bytes: int) -> int:
    return -(-size_bytes // _UNIT) * _UNIT


def capacity_bytes(volume_bytes: int) -> int:
    """Return how much room there is for members in a volume of that size."""
    return max(0, volume_bytes - _RESERVE - volume_bytes // _SHARE)
