"""The last door before an item is registered: the pipeline's rules, and what its header says.

What is asked here is asked once for each content. An item that does not pass is not lost: it comes
out with its `reason`, and is registered in quarantine.
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import xxhash

from stoker.intake import extract
from stoker.intake.extract import Unfit
from stoker.intake.file_rules import check_magic, check_size, filled
from stoker.intake.names import companion_of
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline
from stoker.model.source import Rules
from stoker.model.strict_json import read_json
from stoker.model.words import shown

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HEX = re.compile(r"[0-9a-fA-F]{16,128}")
_BLOCK = 1 << 20
_NO_SUMS: Mapping[str, str | None] = {}
_BY_DIGITS: Mapping[int, Callable[[], Any]] = {
    16: xxhash.xxh3_64,
    32: hashlib.md5,
    40: hashlib.sha1,
    64: hashlib.sha256,
    96: hashlib.sha384,
    128: hashlib.sha512,
}


class Admission:
    """Admits the items of one pipeline; holds a process that reads headers, so close it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._rules = pipeline.rules
        self._extract = pipeline.extract
        self._folder = pipeline.folder
        self._project = pipeline.project_folder
        self._function: extract.Function | None = None
        self._rules_of_params = {
            param.name: param.rules for param in pipeline.params if param.rules != Rules()
        }

    def admit(self, item: NewItem, sums: Mapping[str, str | None] = _NO_SUMS) -> NewItem:
        """Return the item with what its header says as `meta`, or with the reason why not.

        `sums` are checksums of its files that were declared elsewhere, by path.
        """
        try:
            self._check_params(item)
            if item.path is None:
                return item
            self._check(item, item.path, sums)
            meta = self._header(item)
        except Unfit as error:
            return replace(item, reason=shown(str(error)))
        except OSError as error:
            return replace(item, reason=f"it cannot be read: {error.strerror}")
        return replace(item, meta={**item.meta, **meta}) if meta else item

    def close(self) -> None:
        """End the process that reads headers."""
        if self._function is not None:
            self._function.close()

    def _check(self, item: NewItem, path: str, sums: Mapping[str, str | None]) -> None:
        rules = self._rules
        if not os.access(path, os.R_OK):
            raise Unfit("it cannot be read; check its rights")
        check_size(rules, item.size_bytes or 0)
        check_magic(rules, path)
        if rules.checksum is not None:
            companion = companion_of(rules.checksum, path)
            _check_sum(path, _sum_in(companion, os.path.basename(path)), where=companion)
        for file, declared in sums.items():
            if declared is not None:
                _check_sum(file, declared, where="the manifest")
        if rules.command:
            words = filled(rules.command, path, key=item.key, project=self._project)
            extract.ask(words, folder=self._folder, what="`validate` command")

    def _check_params(self, item: NewItem) -> None:
        """Unfit if the file that a parameter names breaks the rules for it."""
        for name, rules in self._rules_of_params.items():
            value = item.params.get(name)
            for path in value if isinstance(value, list | tuple) else [value]:
                if not isinstance(path, str) or not os.path.isabs(path):
                    continue
                try:
                    check_size(rules, os.stat(path).st_size)
                    check_magic(rules, path)
                    if rules.command:
                        words = filled(rules.command, path, key=item.key, project=self._project)
                        extract.ask(words, folder=self._folder, what="`validate` command")
                except (Unfit, OSError) as error:
                    why = error.strerror if isinstance(error, OSError) else error
                    raise Unfit(f"parameter `{name}`, `{path}`: {why}") from None

    def _header(self, item: NewItem) -> Mapping[str, Any]:
        """Return what `extract` reads of the item."""
        if self._extract is None or item.path is None:
            return {}
        if isinstance(self._extract, str):
            if self._function is None:
                self._function = extract.Function(self._extract, folder=self._folder)
            text = self._function.call(item.path)
        else:
            words = filled(self._extract, item.path, key=item.key, project=self._project)
            text = extract.ask(words, folder=self._folder, what="`extract`")
        return _meta_of(text)


def _meta_of(text: str) -> Mapping[str, Any]:
    """Return the object that `text` is as JSON, without what is null in it, as NaN is."""
    try:
        found = read_json(text)
    except ValueError as error:
        raise Unfit(f"`extract` printed no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unfit("`extract` printed JSON that is not an object; it must print names and values")
    for name in found:
        if not _NAME.fullmatch(name):
            raise Unfit(
                f"`extract` gave `{name}`; names in `meta` have lower-case letters, digits and `_`"
            )
    return {name: value for name, value in found.items() if value is not None}


def _sum_in(companion: str, name: str) -> str:
    """Return the checksum that a file holds: alone, or on the line of `name`."""
    try:
        with open(companion, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split(None, 1) for line in file if line.strip()]
    except FileNotFoundError:
        raise Unfit(f"its checksum is not there: `{companion}`") from None
    for words in lines:
        is_named = len(words) > 1 and os.path.basename(words[1].strip().lstrip("*")) == name
        if _HEX.fullmatch(words[0]) and (is_named or len(lines) == 1):
            return words[0].lower()
    raise Unfit(f"`{companion}` has no checksum for it")


def _check_sum(path: str, declared: str, *, where: str) -> None:
    make = _BY_DIGITS.get(len(declared))
    if make is None:
        raise Unfit(
            f"the checksum in {where} has {len(declared)} digits, which is not a known kind"
        )
    made = make()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
    if made.hexdigest() != declared:
        raise Unfit(f"its checksum is {made.hexdigest()}; {where} says {declared}")
