"""The rules of `validate` that one look at a file decides, and the words of its command."""

import re
from collections.abc import Sequence

from stoker.intake.extract import Unfit
from stoker.intake.names import values_of
from stoker.model.source import Rules


def check_size(rules: Rules, size_bytes: int) -> None:
    """Unfit unless a file may have this size."""
    if size_bytes < rules.min_bytes:
        is_empty = "it is empty" if not size_bytes else f"it has {size_bytes:,} bytes"
        message = f"{is_empty}; `min_size` is {rules.min_bytes:,}"
        raise Unfit(message, rule="min_size", limit=rules.min_bytes)
    if rules.max_bytes is not None and size_bytes > rules.max_bytes:
        message = f"it has {size_bytes:,} bytes; `max_size` is {rules.max_bytes:,}"
        raise Unfit(message, rule="max_size", limit=rules.max_bytes)


def check_magic(rules: Rules, path: str) -> None:
    """Unfit unless the file begins as it should; OSError if it cannot be read."""
    if not rules.magic:
        return
    magic = bytes.fromhex(rules.magic)
    with open(path, "rb") as file:
        found = file.read(len(magic))
    if found != magic:
        message = f"it begins with {found!r}; `magic` is {magic!r}"
        raise Unfit(message, rule="magic", limit=repr(magic)[2:-1])


def filled(words: Sequence[str], path: str, *, key: str, project: str) -> list[str]:
    """Return the words of a command with the names of the file, its item's key and the project's folder."""
    values = {**values_of(path), "key": key, "project": project}
    return [re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), w) for w in words]
