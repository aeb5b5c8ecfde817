"""The list of a volume's members, as a step of the volume gets it: which files are to be packed."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stoker.errors import NotFound, UserError
from stoker.model.strict_json import read_json
from stoker.volumes.catalogue import open_text

_LONGEST = 256 * 1024 * 1024  # characters of a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An output to be packed, with what was recorded when it was published."""

    output: str
    path: str
    size_bytes: int
    checksum: str
    removed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member with its outputs; of one that was `superseded`, what is not there any more is left out."""

    key: str
    superseded: bool
    files: tuple[Wanted, ...]


def check_list(path: str) -> None:
    """NotFound where there is no list; UserError where it is no file."""
    if not os.path.exists(path):
        raise NotFound(f"there is no list of members `{path}`")
    if not os.path.isfile(path):
        raise UserError(f"`{path}` is not a file with a list of members")


def read_members(path: str) -> Iterator[Member]:
    """Yield the members that the list at the path names. UserError, with the line, for any other file."""
    try:
        with open_text(path, "r") as file:
            number = 0
            while line := file.readline(_LONGEST):
                number += 1
                try:
                    yield _member(read_json(line, is_bounded=False))
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        f"`{path}`, line {number} is not a member of a volume ({_why(error)}); pass "
                        "`{members}` of a pipeline whose source has `volume`"
                    ) from None
    except OSError as error:
        raise UserError(f"`{path}` cannot be read: {error.strerror}") from None


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no `{error.args[0]}`"
    if isinstance(error, json.JSONDecodeError):
        return "no JSON"
    return str(error)


def _member(found: Any) -> Member:
    if not isinstance(found, dict):
        raise TypeError("no object")
    key, pack = found["key"], found["pack"]
    if not isinstance(key, str) or not isinstance(pack, list):
        raise TypeError("`key` is a text and `pack` a list")
    if not key or key.startswith("/") or ".." in key.split("/") or "\0" in key:
        raise ValueError(f"`{key}` is no key")
    return Member(
        key=key, superseded=found.get("superseded") is True, files=tuple(map(_wanted, pack))
    )


def _wanted(found: Any) -> Wanted:
    if not isinstance(found, dict):
        raise TypeError("an entry of `pack` is no object")
    output, path, checksum = found["output"], found["path"], found["checksum"]
    size = found["size_bytes"]
    if not all(isinstance(one, str) for one in (output, path, checksum)):
        raise TypeError("`output`, `path` and `checksum` are texts")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("`size_bytes` is a number")
    if not path.startswith("/") or "/" in output or output in ("", ".", ".."):
        raise ValueError(f"`{path}` is not an absolute path, or `{output}` no output")
    return Wanted(
        output=output,
        path=path,
        size_bytes=size,
        checksum=checksum,
        removed=found.get("removed") is True,
    )
