"""Files that people edit, as sources: a table, a folder of tables, a list of names.

A file is read whole once it has settled, and only if nothing has changed it meanwhile: editors write
over a file or rename another into its place, and half of a table looks like a table. Its author
finds the answer beside it (`intake/report_file.py`). A line that was removed removes no item.
"""

import base64
import logging
import os
import shlex
import time
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xxhash

from stoker.errors import UserError
from stoker.intake.found import check_is_file
from stoker.intake.globs import edited_files
from stoker.intake.report_file import SUFFIX, write_report
from stoker.intake.settle import Look, look
from stoker.intake.sources.reading import Reading
from stoker.intake.sources.source import Find, Mark, Over, Refusal, Standing
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.source import Source as Declared
from stoker.model.words import visible
from stoker.store.arrivals.counts import EXAMPLES, Registered

UNFINISHED_S = 10.0  # a last line without an end may be half a line, and is believed after so long
POLL_S = 0.5
REST_S = 60.0  # at most between looks
_AGAIN_S = 60.0  # names that were missing may be there after so long
_NAMED = 3  # keys whose lines were removed, in a message

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    """A file as it was seen last, and since when it has been so, on the monotonic clock."""

    look: Look
    since_s: float


@dataclass(slots=True)
class _Memory:
    """What is remembered of a file that was read; kept in the cursor."""

    stamp: str
    keys: frozenset[str] = frozenset()
    removed: tuple[str, ...] = ()
    refused: int = 0
    trouble: str = ""  # why nothing of it could be read
    key_title: str | None = None  # of the column that names the items
    read_s: float = field(default_factory=time.monotonic)  # not kept
    said: tuple[str, ...] = ()  # of the refused lines, if they are few; not kept

    def as_cursor(self) -> dict[str, Any]:
        """Return it as JSON."""
        keys = zlib.compress("\0".join(sorted(self.keys)).encode("utf-8", "surrogatepass"))
        return {
            "stamp": self.stamp,
            "keys": base64.b85encode(keys).decode(),
            "removed": list(self.removed),
            "refused": self.refused,
            "trouble": self.trouble,
            "key_title": self.key_title,
        }

    @classmethod
    def of_cursor(cls, kept: Mapping[str, Any]) -> "_Memory":
        """Return what `as_cursor` made."""
        keys = zlib.decompress(base64.b85decode(kept["keys"])).decode("utf-8", "surrogatepass")
        return cls(
            stamp=kept["stamp"],
            keys=frozenset(keys.split("\0")) if keys else frozenset(),
            removed=tuple(kept["removed"]),
            refused=kept["refused"],
            trouble=kept["trouble"],
            key_title=kept.get("key_title"),
        )


class EditedSource:
    """A table, a folder of tables or a list, followed while people edit it."""

    def __init__(
        self,
        pipeline: Pipeline,
        declared: Declared,
        *,
        project_folder: str,
        is_staying: bool = True,
    ) -> None:
        self.name = declared.name
        self.kind = declared.kind
        self.standing = Standing()
        self._pipeline = pipeline
        self._project_folder = project_folder
        self._pattern = declared.table or declared.listing or ""
        self._form = declared.form
        self._settle_s = declared.settle_s
        self._what = "row" if declared.table is not None else "name"
        self._is_staying = is_staying
        self._told: set[str] = set()  # files that were read in this look: what is wrong was yielded
        self._seen: dict[str, _Seen] = {}
        self._memory: dict[str, _Memory] = {}
        declares = repr(
            (pipeline.params, pipeline.key, pipeline.items, pipeline.priority, declared.form)
        )
        self._mark = xxhash.xxh3_64_hexdigest(declares.encode())

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield the items of the files that were changed and have settled."""
        self._remember(cursor.get("files", {}))
        paths = self._paths()
        self.standing = replace(self.standing, pending=0, pending_for_s=None)
        self._told.clear()
        for path in paths:
            if self._is_to_be_read(path):
                yield from self._read(path)
        self._conclude(paths)

    def rest(self, over: Over) -> None:
        """Return when a file has settled that is not known as it is, or after a while."""
        until_s = time.monotonic() + REST_S
        while not over and time.monotonic() < until_s:
            over.rest(POLL_S)
            if any(self._is_to_be_read(path) for path in self._paths()):
                return

    def close(self) -> None:
        """Hold nothing: nothing is open between looks."""

    # ------------------------------------------------------------------------ which files, and when

    def _paths(self) -> list[str]:
        return edited_files(self._pattern, folder=self._pipeline.folder)

    def _is_to_be_read(self, path: str) -> bool:
        """Whether the file has settled as something that is not known."""
        now = look(path)
        if now is None:
            self._seen.pop(path, None)
            return False
        seen = self._seen.get(path)
        if seen is None or seen.look != now:
            # A run does not stay to look again, and trusts the file system's clock.
            is_trusted = seen is None and not self._is_staying
            age_s = max(0.0, time.time() - now.ctime_ns / 1e9) if is_trusted else 0.0
            seen = self._seen[path] = _Seen(now, time.monotonic() - age_s)
        known = self._memory.get(path)
        if known is not None and known.stamp == self._stamp(now) and not self._is_due(known):
            return False
        return self._is_settled(path, seen)

    def _is_settled(self, path: str, seen: _Seen) -> bool:
        rested_s = time.monotonic() - seen.since_s
        if rested_s < self._settle_s:
            return False
        return rested_s >= UNFINISHED_S or _ends_with_a_line(path)

    def _is_due(self, known: _Memory) -> bool:
        """Whether names that were not there may be there by now."""
        is_record = self._pipeline.items is ItemKind.RECORDS
        return known.refused > 0 and not is_record and _passed_s(known.read_s) >= _AGAIN_S

    def _stamp(self, seen: Look) -> str:
        """What distinguishes the file from its earlier versions, also where the pipeline's rules changed."""
        return f"{seen.size_bytes}:{seen.mtime_ns}:{seen.ctime_ns}:{seen.inode}:{self._mark}"

    def _conclude(self, paths: list[str]) -> None:
        """Say how the files stand after a look."""
        troubles: list[str] = []
        pending = 0
        pending_for_s: float | None = None
        for path in paths:
            known, seen = self._memory.get(path), self._seen.get(path)
            if seen is None:
                shown = self._shown(path)
                troubles.append(f"there is no file `{shown}`; make it, or put its path right")
                continue
            if known is None or known.stamp != self._stamp(seen.look):
                if not self._is_staying:
                    troubles.append(
                        f"`{self._shown(path)}` is still being saved; a later run takes it"
                    )
                pending += 1
                pending_for_s = max(pending_for_s or 0.0, _passed_s(seen.since_s))
            if known is not None and (self._is_staying or path not in self._told):
                troubles += self._trouble_of(path, known)
        refused = sum(self._memory[path].refused for path in paths if path in self._memory)
        self.standing = Standing(pending, pending_for_s, "\n".join(troubles) or None, refused)

    def _trouble_of(self, path: str, known: _Memory) -> list[str]:
        shown = self._shown(path)
        if known.trouble:
            return [known.trouble]
        if known.said:
            return list(known.said)
        if known.refused:
            how_many = _plural(known.refused, self._what)
            return [f"`{shown}`: {how_many} refused; `{shown}{SUFFIX}` says why"]
        return []

    def _shown(self, path: str) -> str:
        """Return what messages call the file."""
        inside = os.path.relpath(path, self._project_folder)
        return path if inside.startswith("..") else inside

    # -------------------------------------------------------------------------------------- reading

    def _remember(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        """Know of each file what the cursor has: what was yielded last may not have come so far."""
        before, self._memory = self._memory, {}
        for path in kept:
            self._memory[path] = memory = _Memory.of_cursor(kept[path])
            if path in before and before[path].stamp == memory.stamp:
                memory.read_s, memory.said = before[path].read_s, before[path].said

    def _read(self, path: str) -> Iterator[Find]:
        before = self._seen[path].look
        reading = Reading(
            self._pipeline,
            path,
            name=self._shown(path),
            what=self._what,
            project_folder=self._project_folder,
            form=self._form,
            key_title=self._memory[path].key_title if path in self._memory else None,
        )
        memory = _Memory(stamp=self._stamp(before))
        try:
            check_is_file(path)
            content = Path(path).read_bytes()
            if look(path) != before:
                return  # it is being saved just now, and settles again
            yield from self._finds(path, reading, content, before)
        except OSError as error:
            memory.trouble = f"`{self._shown(path)}` cannot be read: {error.strerror}"
        except UserError as error:
            memory.trouble = str(error)
        if memory.trouble:
            yield Refusal(message=memory.trouble)
            reading.refuse_all(memory.trouble)
        removed = self._compare(path, memory, reading)
        if removed and self._is_staying:
            _log.warning(
                "%s", self._farewell(path, removed), extra={"event": "lines_removed", "path": path}
            )
        elif removed:
            yield Registered(messages=[self._farewell(path, removed)])
        cursor = {
            one: known.as_cursor() for one, known in self._memory.items() if one in self._seen
        }
        mark = Mark(cursor={"files": cursor | {path: memory.as_cursor()}})
        unset = mark.done
        try:
            yield mark
            self._memory[path] = memory
            self._told.add(path)
        finally:  # the look may be closed here, once all is taken that there is room for
            reading.answer.is_partial = mark.done is unset
            self._answer(path, reading, mark.done.messages, before)

    def _finds(self, path: str, reading: Reading, content: bytes, before: Look) -> Iterator[Find]:
        """Yield what the file holds. Ended early, its author hears of the rest of the lines now."""
        finds = reading.finds(content)
        try:
            for find in finds:  # noqa: UP028 - `yield from` would close what is read on
                yield find
        except GeneratorExit:
            for _ in finds:
                pass
            reading.answer.is_partial = True
            self._answer(path, reading, (), before)
            raise

    def _compare(self, path: str, memory: _Memory, reading: Reading) -> Sequence[str]:
        """Return the keys that have lost their line since; with refused lines nobody can say."""
        known = self._memory.get(path)
        now = {key for _, key in reading.answer.taken}
        memory.refused = reading.answer.n_refused
        if self._is_staying and len(reading.refused) <= EXAMPLES:
            memory.said = reading.refused
        memory.key_title = reading.key_title
        memory.keys = frozenset(now)
        if known is None:
            return ()
        lost: Sequence[str] = ()
        elsewhere = {
            key for one, other in self._memory.items() if one != path for key in other.keys
        }
        if memory.refused:
            memory.keys |= known.keys
            memory.removed = known.removed
        elif removed := known.keys - now - elsewhere:
            lost = memory.removed = tuple(sorted(removed))
        else:
            memory.removed = tuple(key for key in known.removed if key not in now | elsewhere)
        reading.answer.removed = memory.removed
        return lost

    def _farewell(self, path: str, removed: Sequence[str]) -> str:
        """Say that items stay whose lines were removed, and how to give them up."""
        n, shown = len(removed), self._shown(path)
        keys = " ".join(shlex.quote(visible(key)) for key in removed[:_NAMED])
        if n > _NAMED:
            keys, of_all = "KEY…", f"`{shown}{SUFFIX}` names them"
        else:
            of_all = ", ".join(visible(key) for key in removed)
        stays = (
            f"a {self._what} was removed; its item stays"
            if n == 1
            else f"{n:,} {self._what}s were removed; their items stay"
        )
        of = f"--pipeline {self._pipeline.name} {keys}"
        return (
            f"`{shown}`: {stays} ({of_all}); `stoker cancel {of}` gives up what is not done, "
            f"`stoker prune --older-than 0s {of}` then forgets {'it' if n == 1 else 'them'}"
        )

    def _answer(self, path: str, reading: Reading, messages: Sequence[str], before: Look) -> None:
        """The answer is beside the file, if it can be written there."""
        reading.add_conflicts(messages)
        name = os.path.basename(path)
        try:
            write_report(
                path + SUFFIX, reading.answer.text(name=name, saved_s=before.mtime_ns / 1e9)
            )
        except OSError as error:
            _log.warning(
                "no report can be written beside a file",
                extra={"event": "report_not_written", "path": path, "error": str(error)},
            )


def _ends_with_a_line(path: str) -> bool:
    """Whether the file's last line has its end; an empty file has none."""
    try:
        check_is_file(path)
        with open(path, "rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) in (b"\n", b"\r", b"\0")
    except (OSError, UserError):
        return True  # reading it shows what is wrong


def _passed_s(since_s: float) -> float:
    return time.monotonic() - since_s


def _plural(n: int, word: str) -> str:
    return f"1 {word} is" if n == 1 else f"{n:,} {word}s are"
