"""Feeds of the model from the file's: the address without secrets, a selector that can be decided."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stoker.model import patterns
from stoker.model.mango import OPERATORS
from stoker.model.source import Feed
from stoker.model.states import ItemState
from stoker.spec.locations import absolute
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stoker.spec.locate import Path
    from stoker.spec.source_keys import SourceTable
    from stoker.spec.validate import Findings

_WORD = 200  # characters of a group's own word for a state


def build_feed(
    table: SourceTable,
    *,
    items: str,
    params: Collection[str],
    path: Path,
    folder: str,
    findings: Findings,
) -> Feed | None:
    """Return the feed, if the source is one, and tell `findings` what is wrong with it."""
    if table.feed is None:
        return None
    _check_url(table.feed, (*path, "feed"), findings)
    _check_selector(table.selector, (*path, "selector"), findings)
    _check_states(table.states, (*path, "states"), findings)
    for name in table.params:
        if name not in params:
            hint = suggest(name, params)
            findings.add((*path, "params", name), f"there is no parameter `{name}`", hint)
    if items == "records" and table.path is not None:
        findings.add((*path, "path"), "the items of this pipeline are records, which have no path")
    elif items != "records" and table.path is None:
        hint = (
            'say which field holds its path, as in `path = "raw.file"`, or set `items = "records"`'
        )
        findings.add((*path, "feed"), "a document is not a file", hint)
    secret = table.password_file
    if secret is not None and "@" not in table.feed:
        hint = "write `http://USER@HOST:5984/DATABASE`"
        findings.add((*path, "password_file"), "the feed's URL does not say whose password", hint)
    return Feed(
        url=table.feed,
        selector=table.selector,
        params=table.params,
        path=table.path,
        password_file=None if secret is None else absolute(secret, folder),
        states=table.states,
        logs=table.logs,
    )


def _check_states(states: Mapping[str, str], path: Path, findings: Findings) -> None:
    """Report words for states that do not exist, and words that cannot be written."""
    for name, word in states.items():
        here = (*path, name)
        if name not in ItemState.words():
            hint = suggest(name, ItemState.words())
            findings.add(here, f"items have no state `{name}`", hint)
        left = word.replace("{step}", "")
        if not left.strip() and word != "{step}":
            findings.add(here, "the word is empty", 'write what the document is to have, as "good"')
        elif "{" in left or "}" in left:
            message = f"`{word}` has braces that are not `{{step}}`"
            findings.add(here, message, "`{step}` is the only name here")
        elif len(word) > _WORD:
            findings.add(here, f"the word has {len(word):,} characters and may have {_WORD}")


def _check_url(url: str, path: Path, findings: Findings) -> None:
    """Tell what is wrong with the URL, without repeating it: it may hold a password."""
    shape = "write `http://HOST:5984/DATABASE`"
    try:
        parts = urlsplit(url)
        password = parts.password
        is_whole = bool(parts.hostname and parts.path.strip("/")) and not parts.query
    except ValueError:
        is_whole, password, parts = False, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not is_whole:
        findings.add(path, "`feed` is not the URL of a database", shape)
    elif password is not None and not password.startswith("${"):
        hint = "write `${NAME}` for a variable of the environment, or use `password_file`"
        findings.add(path, "the password stands in the file for everybody to read", hint)


def _check_selector(selector: Any, path: Path, findings: Findings) -> None:
    """Tell what of the selector is not known, or cannot be in a document."""
    if isinstance(selector, list):
        for index, part in enumerate(selector):
            _check_selector(part, (*path, index), findings)
    elif isinstance(selector, dict):
        for name, value in selector.items():
            if name.startswith("$") and name not in OPERATORS:
                hint = suggest(name, OPERATORS)
                findings.add((*path, name), f"a selector has no `{name}`", hint)
            if name == "$regex":
                _check_expression(value, (*path, name), findings)
            _check_selector(value, (*path, name), findings)
    elif not isinstance(selector, str | int | float) or (
        isinstance(selector, float) and not math.isfinite(selector)
    ):
        message = f"`{selector}` is not a value of JSON, so that no document has it"
        findings.add(path, message, "write a text, a finite number, `true` or `false`")


def _check_expression(value: Any, path: Path, findings: Findings) -> None:
    if not isinstance(value, str):
        findings.add(path, "this is not a pattern", "write a regular expression in quotes")
    elif fault := patterns.fault(value):
        findings.add(path, f"`{value}` cannot be used as a pattern: {fault}")
