"""Long keys in a narrow table: shortened in the middle, so that they still differ."""

import re
from collections.abc import Iterable, Iterator

MARK = "…"
LEAST = 12  # columns below which a shortened key says nothing
_BREAKS = re.compile(r"[/_.\- ]")


def shorten(keys: Iterable[str], width: int) -> dict[str, str]:
    """Return each key as a table shows it that has `width` columns for keys.

    Keys that fit stay as they are. The others lose what all of them begin or end with, or else
    their middle. Two different keys never look the same: where no cut allows that, all keys stay
    whole.
    """
    known = sorted(set(keys))
    width = max(width, LEAST)
    whole = {key: key for key in known}
    long = [key for key in known if len(key) > width]
    for cut in _cuts(long, width) if long else ():
        short = whole | dict(zip(long, cut, strict=True))
        if len(set(short.values())) == len(known):
            return short
    return whole


def _cuts(keys: list[str], width: int) -> Iterator[list[str]]:
    """Yield ways to cut sorted keys, the most readable first; each key has `width` at most."""
    begins = _same(keys[0], keys[-1])
    if len(keys) > 1:
        backwards = sorted(key[::-1] for key in keys)
        ends = min(_same(backwards[0], backwards[-1]), min(map(len, keys)) - begins)
        for start in _starts(keys[0][:begins]):
            rest = max(len(key) - start for key in keys)
            if rest < width:
                yield [_cut(key, width - 1 - rest, len(key) - start) for key in keys]
            room = width - 2 - (rest - ends)
            if rest > ends and room >= 2:
                head = min(room // 2, start)
                yield [
                    key[:head] + MARK + _cut(key[start:], len(key) - start - ends, room - head)
                    for key in keys
                ]
    for head in sorted(range(width), key=lambda head: abs(head - width // 3)):
        yield [_cut(key, head, width - 1 - head) for key in keys]


def _cut(key: str, head: int, tail: int) -> str:
    return key[:head] + MARK + key[len(key) - tail :]


def _starts(shared: str) -> list[int]:
    """Return where what differs may begin: at its folder, at its word, at its first character."""
    words = [found.start() for found in _BREAKS.finditer(shared)]
    folder = shared.rfind("/")
    starts = [folder, *words[-1:], len(shared)]
    return list(dict.fromkeys(start for start in starts if start > 0))


def _same(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    n = 0
    while n < min(len(one), len(other)) and one[n] == other[n]:
        n += 1
    return n
