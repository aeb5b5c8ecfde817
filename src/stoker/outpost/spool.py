"""The spool: the folder of everything at an outpost, and the renames by which it passes from hand to hand.

A bundle goes `todo` → `taken` → `done`, or back to `todo` if nothing began, or `todo` → `back` when a
visit wants it back. Each of these is one rename (or, for `done`, one hard link) within a file system,
so that of several who want the same thing one gets it. Names hold all that is needed to tell states.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from stoker.failpoints import hit
from stoker.outpost import sealed
from stoker.outpost.ground import Ground, remove
from stoker.outpost.sealed import Broken

_TODO = re.compile(r"([0-9a-f]{16})-([0-9a-f]{32})\.json")
_TAKEN = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{12})")
_ATTEMPT = re.compile(r"[0-9a-f]{32}")
_BESIDE = ("runs", "members", "stop")  # what is kept of an attempt beside its state
_CACHED_S = 120.0  # for which NFS may show an older state of a folder, twice over
_START = re.compile(r"[0-9a-f]{12}")


@dataclass(slots=True)
class State:
    """Where an attempt is: waiting in `todo` under that name, taken by starts, done, or back."""

    todo: str | None = None
    starts: tuple[str, ...] = ()
    is_done: bool = False
    is_back: bool = False


class Spool(Ground):
    """What passes through a spool: where each attempt is, and how it gets from one hand to the next."""

    # ------------------------------------------------------------------------------------ its states

    def states(self) -> dict[str, State]:
        """Return where each attempt is, by its 32 digits.

        `todo` is listed first and last: what moves from one folder to the next meanwhile is seen at
        least once. What has an odd name is moved away.
        """
        found: dict[str, State] = {}
        self._list_todo(found)
        for name in self._names("taken"):
            if fit := _TAKEN.fullmatch(name):
                state = found.setdefault(fit[1], State())
                state.starts = (*state.starts, fit[2])
            else:
                self.set_aside("taken", name)
        for folder in ("done", "back"):
            for name in self._names(folder):
                attempt = name.removesuffix(".json")
                if _ATTEMPT.fullmatch(attempt):
                    setattr(found.setdefault(attempt, State()), f"is_{folder}", True)
                else:
                    self.set_aside(folder, name)
        self._list_todo(found)
        return found

    def named(self) -> set[str]:
        """Return the attempts of which anything is kept, to be asked for before their states are."""
        return {name for folder in _BESIDE for name in self._names(folder)}

    def sweep(self, attempts: Iterable[str]) -> None:
        """Nothing is left of attempts that are in no state, and so belong to nobody."""
        from stoker.work.scratch import wipe

        for attempt in attempts:
            for folder in _BESIDE:
                wipe(self.at(folder, attempt))

    def _list_todo(self, found: dict[str, State]) -> None:
        for name in self._names("todo"):
            if fit := _TODO.fullmatch(name):
                found.setdefault(fit[2], State()).todo = name
            else:
                self.set_aside("todo", name)

    def waiting(self) -> list[str]:
        """Return the names in `todo`, in the order in which they are to begin."""
        return sorted(name for name in self._names("todo") if _TODO.fullmatch(name))

    def held_by(self, start: str) -> set[str]:
        """Return the attempts that a start has taken."""
        fits = (_TAKEN.fullmatch(name) for name in self._names("taken"))
        return {fit[1] for fit in fits if fit and fit[2] == start}

    def _names(self, folder: str) -> list[str]:
        return [name for name in os.listdir(self.at(folder)) if not name.startswith(sealed.HIDDEN)]

    def set_aside(self, folder: str, name: str) -> None:
        """What is no file of ours, or damaged, is in `bad/` from now on."""
        with suppress(FileNotFoundError):
            os.rename(
                self.at(folder, name), self.at("bad", f"{folder}-{token_hex(4)}-{name[-150:]}")
            )

    # ------------------------------------------------------------------------------------- its moves

    def put(self, okey: int, attempt: str, bundle: Any) -> None:
        """The bundle waits to be taken; durable once `sync` has been called for `todo`."""
        sealed.write(self.at("todo", name_of(okey, attempt)), bundle, is_synced=False)

    def put_members(self, attempt: str, number: int, page: Any) -> None:
        """A page of the members of the attempt's group is there, before its bundle is."""
        with suppress(FileExistsError):
            os.mkdir(self.at("members", attempt), 0o700)
        sealed.write(self._page(attempt, number), page)

    def members(self, attempt: str, number: int) -> Any:
        """Return that page of the members of the attempt's group. FileNotFoundError, or Broken."""
        return sealed.read(self._page(attempt, number))

    def _page(self, attempt: str, number: int) -> str:
        return self.at("members", attempt, f"{number:06}.json")

    def sync(self, folder: str) -> None:
        """What was moved into that folder survives a power cut."""
        sealed.sync_folder(self.at(folder))

    def take(self, name: str, start: str) -> bool:
        """Whether the bundle of that name in `todo` is the start's now; False if somebody was faster.

        A power cut may undo it: then it waits again, and of two results one counts.
        """
        attempt = attempt_in(name)
        return self._move(
            self.at("todo", name), self.at("taken", f"{attempt}.{start}"), is_synced=False
        )

    def give_back(self, name: str, start: str) -> bool:
        """Whether a bundle that the start has taken, and not begun, waits again."""
        attempt = attempt_in(name)
        return self._move(self.at("taken", f"{attempt}.{start}"), self.at("todo", name))

    def rank(self, name: str, okey: int) -> str | None:
        """Return the name under which a bundle waits from now on; None if somebody has taken it."""
        other = name_of(okey, attempt_in(name))
        if other == name or self._move(self.at("todo", name), self.at("todo", other)):
            return other
        return None

    def keep_orphan(self, attempt: str) -> None:
        """The attempt's result and outputs, which nobody knows any more, are kept for a person."""
        with suppress(FileNotFoundError):  # of a call before this one, which was cut short
            with suppress(FileExistsError):
                os.link(self.at("done", f"{attempt}.json"), self.at("runs", attempt, "result.json"))
            os.rename(self.at("runs", attempt), self.at("orphans", attempt))
        hit("outpost.orphan_kept")

    def recall(self, name: str) -> bool:
        """Whether a bundle that waited is out of everybody's reach now."""
        return self._move(self.at("todo", name), self.at("back", f"{attempt_in(name)}.json"))

    def _move(self, source: str, target: str, *, is_synced: bool = True) -> bool:
        try:
            os.rename(source, target)
        except FileNotFoundError:
            # NFS says so too of what it has done, if its first answer was lost. No two may want the same name.
            if not os.path.lexists(target):
                return False
        hit("outpost.moved")
        if is_synced:
            sealed.sync_folder(os.path.dirname(target))
        return True

    def end(self, attempt: str, start: str, result: Any) -> bool:
        """Whether this is the attempt's result. Of two results the first one counts, for ever.

        Durable once `sync` has been called for `done`; only then may the start `leave` the attempt.
        """
        run = self.at("runs", attempt, start)
        os.makedirs(run, mode=0o700, exist_ok=True)
        path = os.path.join(run, "result.json")
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a delivery that broke off
        sealed.write_in_place(path, result)
        hit("outpost.result_written")
        done = self.at("done", f"{attempt}.json")
        is_ours = True
        try:
            os.link(path, done)
        except FileExistsError:
            with suppress(FileNotFoundError):
                is_ours = os.path.samefile(path, done)
        hit("outpost.result_linked")
        return is_ours

    def leave(self, attempt: str, start: str) -> None:
        """The start has the attempt no more."""
        with suppress(FileNotFoundError):
            os.unlink(self.at("taken", f"{attempt}.{start}"))

    def has_taken(self, attempt: str, start: str) -> bool:
        """Whether the attempt is still the start's."""
        return os.path.lexists(self.at("taken", f"{attempt}.{start}"))

    def is_to_stop(self, attempt: str) -> bool:
        """Whether somebody wants the attempt ended."""
        return os.path.lexists(self.at("stop", attempt))

    def stop(self, attempt: str) -> None:
        """The process that runs the attempt is to end it."""
        with suppress(FileExistsError):
            os.close(os.open(self.at("stop", attempt), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def forget(self, attempt: str, state: State) -> None:
        """Nothing of the attempt is left. The result goes last: until then it may be repeated."""
        from stoker.work.scratch import wipe

        if state.todo is not None:
            remove(self.at("todo", state.todo))
        remove(self.at("back", f"{attempt}.json"))
        for start in state.starts:
            remove(self.at("taken", f"{attempt}.{start}"))
        wipe(self.at("runs", attempt))
        wipe(self.at("members", attempt))
        hit("outpost.forgetting")
        remove(self.at("done", f"{attempt}.json"))
        remove(self.at("stop", attempt))

    # ------------------------------------------------------------------------------------- its starts

    def begin_start(self, start: str, facts: dict[str, Any], *, pilot: str | None = None) -> None:
        """There is a start of that id; what it takes from now on is its own. Its pilot has worked."""
        if pilot is not None:
            with suppress(FileExistsError):
                os.close(os.open(self.at("pilots", f"{pilot}.ran"), os.O_CREAT | os.O_EXCL, 0o600))
        sealed.write(self.at("starts", f"{start}.json"), facts)

    def end_start(self, start: str) -> None:
        """The start is over, and holds nothing."""
        remove(self.at("starts", f"{start}.json"))

    def starts(self) -> dict[str, dict[str, Any]]:
        """Return what each start that is not over has said of itself."""
        found = {}
        for name in self._names("starts"):
            start = name.removesuffix(".json")
            if not _START.fullmatch(start):
                self.set_aside("starts", name)
            elif (facts := self.start(start)) is not None:
                found[start] = facts
        return found

    def start(self, start: str) -> dict[str, Any] | None:
        """Return what a start has said of itself; None if it is over."""
        try:
            facts = sealed.read(self.at("starts", f"{start}.json"))
        except FileNotFoundError:
            return None
        except Broken:
            return {}
        return facts if isinstance(facts, dict) else {}

    def was_just_taken(self, attempt: str, start: str) -> bool:
        """Whether that was so short a time ago that another host may not see all of the start yet."""
        try:
            taken_s = os.lstat(self.at("taken", f"{attempt}.{start}")).st_ctime
        except FileNotFoundError:
            return True  # it is passing from hand to hand
        return self.now_s() - taken_s < _CACHED_S


def name_of(okey: int, attempt: str) -> str:
    """Return the name of a bundle that waits: in the order of `okey`, over all visits."""
    return f"{okey + (1 << 63):016x}-{attempt}.json"


def attempt_in(name: str) -> str:
    """Return the attempt of a name in `todo`."""
    fit = _TODO.fullmatch(name)
    if fit is None:
        raise ValueError(f"`{name}` is no name of a bundle")
    return fit[2]
