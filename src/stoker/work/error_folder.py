"""Owns the error folder of an item (rule E): what is in it, and how it appears whole.

    REASON.txt      what went wrong, in a line; what to do about it
    reason.json     the same for programs, with all that is known of the attempt
    stdout stderr   what the attempt wrote
    item            a link to the item's file or folder
    LEFT_OUT.txt    what was to be kept and is not here, if anything
    other_steps/    the same of other steps of the item that have failed for good
    and the files that `from` picks, as they were called in the scratch

It is made under a hidden name beside its place, made durable, and renamed. The path is the item's as
that of an output is its task's: reserved under the fence before anything is there, never in place of
something that Stoker did not write.
"""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from stoker.errors import OutputConflict
from stoker.failpoints import hit
from stoker.model.encoding import as_text
from stoker.model.failure import Failure
from stoker.model.id_types import AttemptId
from stoker.model.pipeline import ErrorFolder, Output
from stoker.model.task import Content, Wanted
from stoker.spec.error_folders import NAME
from stoker.work.copying import copy_file, open_file
from stoker.work.durable import parts_of, sync_all
from stoker.work.measure import measure
from stoker.work.outputs import Piece, names_of
from stoker.work.partial_results import Keeping
from stoker.work.permit import Permit
from stoker.work.placing import HiddenNames, place
from stoker.work.scratch import wipe
from stoker.work.standing import Standing, look, reach

REASON, RECORD, STDOUT, STDERR, ITEM, LEFT_OUT, OTHERS = OWN_NAMES = (
    "REASON.txt", "reason.json", "stdout", "stderr", "item", "LEFT_OUT.txt", "other_steps",
)  # fmt: skip
_TURNS = 3  # at a path that others change meanwhile
_RECORD_BYTES = 16 * 1024 * 1024


class Record(Protocol):
    """What the store has of the path, for one attempt."""

    def begin(self, names: Sequence[str]) -> None:
        """The item's folder is to be at the path that these names lead to; StaleAttempt as the fence says.

        No other task of the item writes there until this attempt has ended.
        """

    def contents_of(self, paths: Sequence[str]) -> Mapping[str, Sequence[Content]]:
        """Return what may have been put at these paths for the item."""

    def failed_beside(self) -> frozenset[AttemptId]:
        """Return the attempts after which other tasks of the item have failed for good."""

    def reserve(self, wanted: Wanted) -> None:
        """The path is the item's; OutputConflict if it may not be, StaleAttempt as the fence says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of a failed attempt: what is known of it, what it wrote, and its scratch if any."""

    failure: Failure
    stdout: bytes = b""
    stderr: bytes = b""
    scratch: str | None = None
    left_out: str | None = None  # why there is no scratch, where something was to be kept from it


def set_aside(
    remains: Remains,
    spec: ErrorFolder,
    path: str,
    *,
    hidden: str,
    notebook: HiddenNames,
    record: Record,
    permit: Permit,
) -> None:
    """The error folder at `path` holds what is left of the attempt, in place of an earlier one.

    It is made as `hidden`, beside the path. OutputConflict where something is that is not the item's
    error folder; StaleAttempt if the task has moved on; OSError if it cannot be written. In each case
    nothing has changed at the path.
    """
    with notebook.hidden(hidden):
        try:
            wipe(hidden)
            _fill(hidden, remains, spec, permit)
            hit("error_folder.filled")
            _put(hidden, path, notebook, record, permit)
        finally:
            wipe(hidden)


def is_there(path: str, attempt: AttemptId, record: Record, permit: Permit) -> bool:
    """Whether the error folder at `path` is that of this attempt, as it was written."""
    standing = _standing(path, path, record, permit)
    return standing is not None and standing.refusal is None and _attempt_of(path) == attempt


def _fill(hidden: str, remains: Remains, spec: ErrorFolder, permit: Permit) -> None:
    os.makedirs(os.path.dirname(hidden), exist_ok=True)
    os.mkdir(hidden)
    keeping = Keeping(
        remains.scratch or "/nowhere",
        hidden,
        max_size_bytes=spec.max_size_bytes,
        taken=OWN_NAMES,
        permit=permit,
    )
    if remains.scratch is not None:
        keeping.keep(spec.picks)
    elif remains.left_out is not None and spec.picks:
        keeping.left_out.add(" ".join(spec.picks), remains.left_out)
    left_out = keeping.left_out
    failure = replace(remains.failure, left_out=left_out.count)
    files = {
        REASON: failure.as_text.encode("utf-8", "backslashreplace"),
        RECORD: as_text(failure).encode() + b"\n",
        STDOUT: remains.stdout,
        STDERR: remains.stderr,
    }
    if left_out.count:
        files[LEFT_OUT] = left_out.text.encode("utf-8", "backslashreplace")
    for name, content in files.items():
        with open(os.path.join(hidden, name), "xb") as file:
            file.write(content)
    if failure.path is not None:
        os.symlink(failure.path, os.path.join(hidden, ITEM))


def _put(hidden: str, path: str, notebook: HiddenNames, record: Record, permit: Permit) -> None:
    """What is under the hidden name is at `path`, which is reserved for it."""
    names = names_of(path)
    record.begin(names)
    for turn in range(1, _TURNS + 1):
        standing = _standing(hidden, path, record, permit)
        if standing is not None and standing.refusal is None:
            _keep_others(path, hidden, record.failed_beside(), permit)
        content = measure(hidden, permit)
        sync_all(parts_of(hidden, permit), permit)
        record.reserve(
            Wanted(
                names=names,
                content=content,
                found=standing.content if standing else None,
                refusal=standing.refusal if standing else None,
                reach=tuple(map(reach, names)),
            )
        )
        hit("error_folder.reserved")
        try:
            place(hidden, path, notebook, replaced=standing.stamps if standing else None)
        except FileExistsError:
            if turn == _TURNS:
                raise OutputConflict(
                    f"`{path}` was written by somebody else meanwhile; move it away"
                ) from None
        else:
            break
    hit("error_folder.placed")
    with suppress(OSError):
        sync_all([os.path.dirname(path)], permit)


def _standing(source: str, path: str, record: Record, permit: Permit) -> Standing | None:
    """Return what is at the path already, where `source`, a folder, is to be."""
    if not os.path.lexists(path):
        return None
    piece = Piece(Output(name=NAME, to=path), source, path, names_of(path))
    known = record.contents_of(piece.names)
    own = [content for name in piece.names for content in known.get(name, ())]
    standing = look(piece, own, permit)
    if standing is None or standing.refusal is None:
        return standing
    refusal = (
        f"`{path}` has something that Stoker did not write, or that was changed since; move it away"
    )
    return replace(standing, refusal=refusal)


def _keep_others(path: str, hidden: str, attempts: frozenset[AttemptId], permit: Permit) -> None:
    """What the folder at `path` holds of failures after these attempts is in `hidden`, too."""
    others = os.path.join(hidden, OTHERS)
    wipe(others)
    folders = [(path, _record_of(path).get("step"))]
    with suppress(OSError):
        inside = os.path.join(path, OTHERS)
        folders += [(os.path.join(inside, name), name) for name in os.listdir(inside)]
    for folder, step in folders:
        if isinstance(step, str) and "/" not in step and _attempt_of(folder) in attempts:
            os.makedirs(others, exist_ok=True)
            _link_tree(folder, os.path.join(others, step), permit)


def _record_of(folder: str) -> dict[str, object]:
    """Return what `reason.json` in an error folder says; nothing if it cannot be read."""
    try:
        descriptor = open_file(os.path.join(folder, RECORD))
        with open(descriptor, "rb") as file:
            found = json.loads(file.read(_RECORD_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _attempt_of(folder: str) -> AttemptId | None:
    """Return the attempt whose failure an error folder describes."""
    try:
        return AttemptId(uuid.UUID(str(_record_of(folder).get("attempt"))).bytes)
    except ValueError:
        return None


def _link_tree(source: str, target: str, permit: Permit) -> None:
    """`target` has all that the folder `source` has, but for what that keeps of others."""
    os.mkdir(target)
    folders = [(source, target)]
    for folder, copy in folders:  # which grows meanwhile
        for name in os.listdir(folder):
            permit()
            here, there = os.path.join(folder, name), os.path.join(copy, name)
            if os.path.islink(here):
                os.symlink(os.readlink(here), there)
            elif not os.path.isdir(here):
                try:
                    os.link(here, there)
                except OSError:  # no hard links on this file system
                    copy_file(here, there, permit)
            elif (folder, name) != (source, OTHERS):
                os.mkdir(there)
                folders.append((here, there))
