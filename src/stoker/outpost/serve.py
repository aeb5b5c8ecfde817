"""The far end of a visit: one process, which answers one line of JSON with another, and ends.

It knows nothing of the store but what it is asked. While it publishes it asks back, what the store
has of a path and whether the attempt still counts; nothing else is asked of the near end.
"""

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from stoker.errors import StokerError, UserError
from stoker.failpoints import hit
from stoker.model.task import Content
from stoker.outpost import leavings, sealed
from stoker.outpost.bundle import PROTOCOL
from stoker.outpost.ground import UnderWay, as_line
from stoker.outpost.launching import launch
from stoker.outpost.pilots import Pilots, batch_of, is_known
from stoker.outpost.plain import from_plain
from stoker.outpost.publishing import Asker, publish_staged
from stoker.outpost.sealed import Broken
from stoker.outpost.spool import Spool, State
from stoker.outpost.starts import is_over
from stoker.work import removal, usage

LIMIT_S = 60  # for which a far end that gets on with nothing lives
MOST_LINE = 32 * 1024 * 1024
_MOST_ANSWER = 4 * 1024 * 1024
_READS = 3  # of a result before it counts as damaged
_BUSY_S = 2.0


def serve(folder: str, source: BinaryIO, sink: BinaryIO, *, release: str) -> None:
    """Answer until the near end says that it has done, or is gone."""
    signal.alarm(LIMIT_S)  # a process that is frozen, or hangs, is gone by then
    line = _Line(source, sink)
    line.say({"stoker": release, "protocol": [PROTOCOL, PROTOCOL]})
    spool = Spool(folder)
    try:
        spool.make()
        with spool.locked():
            _Far(spool, line).run()
    except StokerError as error:
        line.say(_error(error))
    except BrokenPipeError:
        return


class _Line:
    """Lines in and out. Threads may say that something is being done."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._said_s = time.monotonic()

    def hear(self) -> dict[str, Any] | None:
        """Return what was asked; None at the end."""
        text = self._source.readline(MOST_LINE + 1)
        if not text.endswith(b"\n"):
            return None
        found = json.loads(text)
        if not isinstance(found, dict):
            raise UserError("a question is no object")
        return found

    def say(self, value: Mapping[str, Any]) -> None:
        """The near end hears it."""
        with self._lock:
            self._sink.write(as_line(value))
            self._sink.flush()
            self._said_s = time.monotonic()

    def is_busy(self) -> None:
        """Something gets on: neither end gives up."""
        if time.monotonic() - self._said_s >= _BUSY_S:
            signal.alarm(LIMIT_S)
            self.say({"busy": True})


class _Far:
    """One visit, from the far end."""

    def __init__(self, spool: Spool, line: _Line) -> None:
        self._spool = spool
        self._line = line
        self._states: dict[str, State] = {}
        self._is_known = False  # who visits
        self._epoch = 0  # of the store that visits
        self._verbs: dict[str, Callable[[dict[str, Any]], Any]] = {
            "list": self._list,
            "results": self._results,
            "publish": self._publish,
            "forget": self._forget,
            "recall": self._recall,
            "stop": self._stop,
            "rerank": self._rerank,
            "remove": self._remove,
            "members": self._members,
            "bundles": self._bundles,
            "clear": self._clear,
            "start": self._start,
        }

    def run(self) -> None:
        """Answer until the end."""
        while (asked := self._line.hear()) is not None:
            signal.alarm(LIMIT_S)
            op = asked.get("op")
            if op == "bye":
                self._line.say({"ok": {}})
                return
            try:
                answer = self._answer(str(op), asked)
            except StokerError as error:
                self._line.say(_error(error))
            except OSError as error:
                name = f" (`{os.fsdecode(error.filename)}`)" if error.filename else ""
                self._line.say({"error": {"code": 5, "text": f"{error.strerror}{name}"}})
            else:
                self._line.say({"ok": answer})

    def _answer(self, op: str, asked: dict[str, Any]) -> Any:
        if op == "hello":
            return self._hello(asked)
        verb = self._verbs.get(op)
        if verb is None or not self._is_known:
            raise UserError(f"`{op}` means nothing to this release")
        return verb(asked)

    def _hello(self, asked: dict[str, Any]) -> Any:
        self._epoch = int(asked["epoch"])
        self._spool.guard(str(asked["store"]), self._epoch)
        self._is_known = True
        hit("outpost.guarded")
        self._spool.tidy()
        return {
            "host": socket.gethostname(),
            "cpus": usage.host_cpus(),
            "memory_bytes": usage.host_memory_bytes(),
            "free_bytes": shutil.disk_usage(self._spool.folder).free,
            "clock_us": time.time_ns() // 1000,
            "bad": len(os.listdir(self._spool.at("bad"))),
            "orphans": len(os.listdir(self._spool.at("orphans"))),
        }

    # -------------------------------------------------------------------------------------- looking

    def _list(self, _asked: dict[str, Any]) -> Any:
        """Where each attempt is: its name in `todo`, or a word.

        A start is judged after the attempt was seen in its hands, and what it has ended is looked for
        once more after that: nobody who is over ends anything later.
        """
        before = self._spool.named()
        self._states = self._spool.states()
        hit("outpost.listed")
        self._spool.sweep(before - self._states.keys())
        starts = self._spool.starts()
        over: dict[str, bool] = {}
        found: dict[str, str] = {}
        nodes: dict[str, Any] = {}
        for attempt, state in self._states.items():
            found[attempt] = self._word_for(attempt, state, starts, over)
            if state.starts and (facts := starts.get(state.starts[-1])) is not None:
                nodes[attempt] = [facts.get("host"), facts.get("batch_id")]
        alive = [facts for start, facts in starts.items() if not self._is_over(start, facts, over)]
        for start, facts in starts.items():
            if self._is_over(start, facts, over) and not self._spool.held_by(start):
                self._spool.end_start(start)
        return {"attempts": found, "starts": len(alive), "nodes": nodes}

    def _word_for(
        self,
        attempt: str,
        state: State,
        starts: Mapping[str, dict[str, Any]],
        over: dict[str, bool],
    ) -> str:
        if state.is_done:
            return "done"
        if state.starts:
            if not all(
                self._is_over(one, starts.get(one), over)
                and (one in starts or not self._spool.was_just_taken(attempt, one))
                for one in state.starts
            ):
                return "taken"
            if os.path.lexists(self._spool.at("done", f"{attempt}.json")):
                state.is_done = True
                return "done"
            is_held = any(self._spool.has_taken(attempt, one) for one in state.starts)
            return "lost" if is_held else "passing"
        if state.todo is not None:
            return "todo"
        return "back" if state.is_back else "passing"

    def _is_over(self, start: str, facts: dict[str, Any] | None, over: dict[str, bool]) -> bool:
        if start not in over:
            if facts is None:  # it may have begun since they were listed
                facts = self._spool.start(start)
            over[start] = facts is None or self._has_ended(facts)
        return over[start]

    def _has_ended(self, facts: Mapping[str, Any]) -> bool:
        """Whether a start is over: its process is seen to be gone, or the job that brought it is."""
        seen = is_over(facts)
        pilot = facts.get("pilot")
        return seen is True or (
            seen is None and pilot is not None and not is_known(self._spool, pilot)
        )

    def _results(self, asked: dict[str, Any]) -> Any:
        """As many of these results as fit into an answer; what is damaged is set aside."""
        found: dict[str, Any] = {}
        size = 0
        for attempt in _attempts(asked):
            one = self._result(attempt)
            size += len(json.dumps(one))
            if found and size > _MOST_ANSWER:
                break
            found[attempt] = one
        return found

    def _result(self, attempt: str) -> Any:
        path = self._spool.at("done", f"{attempt}.json")
        said = "it is gone"
        for again in range(_READS):
            try:
                return sealed.read(path)
            except FileNotFoundError:
                break
            except Broken as broken:
                said = str(broken)
                time.sleep(0.05 * again)
        return {"broken": said}

    # ------------------------------------------------------------------------------------- changing

    def _publish(self, asked: dict[str, Any]) -> Any:
        asker = Asker(self._line.say, self._line.hear, self._line.is_busy)
        return publish_staged(self._spool, asked, asker)

    def _forget(self, asked: dict[str, Any]) -> Any:
        for attempt in _attempts(asked):
            state = self._states.get(attempt, State())
            if asked.get("is_foreign") is True and state.is_done and self._is_orphan(attempt):
                self._spool.keep_orphan(attempt)
            self._spool.forget(attempt, state)
            self._line.is_busy()
        return {}

    def _is_orphan(self, attempt: str) -> bool:
        """Whether the result is of a later state of the store than the one that was put back."""
        try:
            found = sealed.read(self._spool.at("done", f"{attempt}.json"))
            return bool(found["staged"]) and int(found.get("epoch", 0)) < self._epoch
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def _recall(self, asked: dict[str, Any]) -> Any:
        """Return those of the attempts that nobody can take any more."""
        won = []
        for attempt in _attempts(asked):
            state = self._states.get(attempt, State())
            if state.todo is not None and self._spool.recall(state.todo):
                state.todo, state.is_back = None, True
                won.append(attempt)
        return {"recalled": won}

    def _rerank(self, asked: dict[str, Any]) -> Any:
        """What waits has its place in the order; what somebody takes meanwhile needs none."""
        okeys = asked["okeys"]
        for attempt in _attempts({"attempts": list(okeys)}):
            state = self._states.get(attempt, State())
            if state.todo is not None:
                state.todo = self._spool.rank(state.todo, int(okeys[attempt]))
        return {}

    def _remove(self, asked: dict[str, Any]) -> Any:
        """Return which of these published files or folders stay, as they are not as published."""
        kept = []
        for path, content in asked["files"]:
            stays = removal.look(path, from_plain(Content, content), self._line.is_busy)()
            hit("outpost.removed")
            kept.append(stays)
        return {"kept": kept}

    def _stop(self, asked: dict[str, Any]) -> Any:
        for attempt in _attempts(asked):
            self._spool.stop(attempt)
        return {}

    def _members(self, asked: dict[str, Any]) -> Any:
        """A page of the members of a group is there, for a bundle that is to come."""
        (attempt,) = _attempts({"attempts": [asked.get("attempt")]})
        self._spool.put_members(attempt, int(asked["number"]), asked["page"])
        hit("outpost.members_put")
        return {}

    def _bundles(self, asked: dict[str, Any]) -> Any:
        """Bundles wait to be taken, after the versions that they need are there."""
        versions, bundles = asked.get("versions", {}), asked.get("bundles", [])
        for name, version in versions.items():
            if not name.isalnum():
                raise UserError(f"`{name}` is no name of a version")
            path = self._spool.at("versions", f"{name}.json")
            if not os.path.lexists(path):
                sealed.write(path, version)
        for okey, attempt, bundle in bundles:
            self._spool.put(okey, attempt, bundle)
            hit("outpost.put")
            self._line.is_busy()
        self._spool.sync("todo")
        return {"put": len(bundles)}

    def _clear(self, _asked: dict[str, Any]) -> Any:
        leavings.clear(self._spool, self._line.is_busy)
        return {}

    def _start(self, asked: dict[str, Any]) -> Any:
        """A worker runs here if there is anything for it to do, and none does.

        With a batch system, its pilots are looked at, and as many submitted as there is work for.
        """
        if asked.get("batch") is not None:
            return self._bring(asked)
        starts = self._spool.starts().values()
        if not self._spool.waiting() or any(is_over(one) is not True for one in starts):
            return {"started": False}
        launch(self._spool, slots=asked.get("slots"))
        return {"started": True}

    def _bring(self, asked: dict[str, Any]) -> Any:
        try:
            batch = batch_of(asked["batch"])
            now_us = int(asked["now_us"])
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"this is no batch system: {error}") from None
        if batch is None:
            return {}
        resumes = asked.get("resumes") is True
        pilots = Pilots(self._spool, batch, now_us=now_us, resumes=resumes)
        waiting = len(self._spool.waiting())
        trouble = pilots.look(waiting)
        if trouble is not None:
            return {"trouble": trouble}
        self._line.is_busy()
        done = pilots.bring(waiting)
        return {
            "started": bool(done.submitted),
            "pilots_waiting": done.waiting,
            "pilots_running": done.running,
            "trouble": done.trouble,
        }


def _attempts(asked: dict[str, Any]) -> Sequence[str]:
    """Return the attempts that are asked about; UserError if they are none."""
    found = asked.get("attempts")
    if not isinstance(found, list) or not all(
        isinstance(one, str) and len(one) == 32 and one.isalnum() for one in found
    ):
        raise UserError("these are no attempts")
    return found


def _error(error: StokerError) -> dict[str, Any]:
    is_busy = isinstance(error, UnderWay)
    return {"error": {"code": error.exit_code, "text": str(error), "is_busy": is_busy}}


def serve_here(folder: str, release: str) -> None:
    """Be the far end, on standard input and output, which nothing else may write to."""
    sink = os.fdopen(os.dup(1), "wb")
    with suppress(OSError):
        os.dup2(2, 1)
    serve(folder, os.fdopen(0, "rb", closefd=False), sink, release=release)
