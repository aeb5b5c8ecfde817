"""Sizes and times as people write them."""

import re

from stoker.model.bounds import SIZE_BYTES, TIME_S

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)", re.ASCII)
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

LARGEST_SIZE = f"{int(SIZE_BYTES.most) >> 40}T"
LONGEST_TIME = f"{int(TIME_S.most) // 86_400}d"

_SIZE_IN_WORDS = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])i?b?", re.IGNORECASE)
SIZE_PATTERN = r"^\d+(\.\d+)?\s*[KMGT]?$"
TIME_PATTERN = r"^\d+(\.\d+)?\s*[smhd]?$"


def parse_size(value: object) -> int:
    """Return bytes for `12G`, `512M` or a bare number of bytes; ValueError says what is allowed."""
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        text = value.strip() if isinstance(value, str) else ""
    found = _SIZE.fullmatch(text)
    if not found:
        meant = _SIZE_IN_WORDS.fullmatch(text)
        example = (
            f"`{meant[1]}{meant[2].upper()}`"
            if meant
            else "a number with K, M, G or T, as in `12G`"
        )
        raise ValueError(f"`{value}` is not a size; write {example}")
    size = float(found[1]) * _BYTES[found[2]]
    if size < 1:
        raise ValueError(f"`{value}` is not a size; it must be above zero")
    if size > SIZE_BYTES.most:
        raise ValueError(f"`{text[:40]}` is too large a size; at most {LARGEST_SIZE} is allowed")
    return int(size)


def parse_time(value: object) -> float:
    """Return seconds for `90s`, `1.5h` or a bare number; ValueError says what is allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = repr(value)
    else:
        text = value.strip() if isinstance(value, str) else ""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(f"`{value}` is not a time; write a number with s, m, h or d, as in `90s`")
    seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds > TIME_S.most:
        raise ValueError(f"`{text[:40]}` is too long a time; at most {LONGEST_TIME} is allowed")
    return seconds
