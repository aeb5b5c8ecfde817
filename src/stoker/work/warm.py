"""The child side of `python` steps: a process that imports once and calls for many tasks.

Run as a script by the step's own interpreter, which need not have Stoker, or anything but the
standard library of Python 3.8. It talks with its worker in messages of JSON over the socket that it
finds as standard input: a task comes in, a reply goes out as soon as the task has ended, so that
whatever kills this process costs no more than one task. It must never print to the user's streams
except for a traceback, and never go on after a task whose traces it cannot remove (`warm_state`).
What it calls between two tasks it takes when it is loaded: a task may replace what is in modules.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file, which is no place for the user's imports

import importlib
import importlib.util
import json
import os
import re
import resource
import socket
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _load_beside(name: str) -> Any:
    """Return our own module, loaded under a name by which no module of the user's can be meant."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"_stoker_{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"`{path}` cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_beside = _load_beside("warm_state")
State, Streams, above = _beside.State, _beside.Streams, _beside.above
Message = Any  # a dict; 3.8 cannot say of what

_dumps, _loads = json.JSONEncoder().encode, json.JSONDecoder().decode
_time, _getpid, _getrusage, _chdir = time.time, os.getpid, resource.getrusage, os.chdir
_exit, _pread, _open = os._exit, os.pread, open

REPLY_BYTES = 60_000  # a longer reply goes to the worker in a file
WORDS = 4000  # characters of an exception that go to the worker
VALUES_BYTES = 65536


class Channel:
    """Messages of JSON in both directions.

    One that was read is one that has begun: until then the worker can take it back.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def receive(self) -> Any:
        """Return the next message; None when the worker has gone."""
        data = self._socket.recv(1 << 20)
        if not data:
            return None
        message = _loads(data.decode("ascii"))
        if "file" in message:  # too big for the socket
            with _open(message["file"], encoding="ascii") as file:
                message = _loads(file.read())
        return message

    def send(self, message: Message, seat: str) -> None:
        """Write a message, whole; a long one by way of a file in the seat's folder."""
        data = _dumps(message).encode()
        if len(data) > REPLY_BYTES:
            path = os.path.join(seat, "reply")
            with _open(path, "wb") as file:
                file.write(data)
            data = _dumps({"id": message["id"], "file": path}).encode()
        self._socket.sendall(data)


def _plain(value: Any) -> Any:
    """Return what stands for a value that JSON does not know: a path's text, an array's numbers."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for name in ("tolist", "isoformat"):  # of numpy and of dates
        if hasattr(value, name):
            return getattr(value, name)()
    raise TypeError(f"a value of type `{type(value).__name__}` cannot be written as JSON")


_dumps_values = json.JSONEncoder(default=_plain).encode
_loads_strict = json.JSONDecoder(parse_constant=lambda _: None).decode


def _encode(values: Any) -> str | None:
    """Return the JSON of the returned values; ValuesError says what is wrong with them.

    JSON has no words for NaN and the infinities: they become null.
    """
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ValuesError(
            f"it returned `{type(values).__name__}`; a dict of values or None is wanted"
        )
    try:
        text = _dumps_values(values)
        if "NaN" in text or "Infinity" in text:
            text = _dumps(_loads_strict(text))
    except (TypeError, ValueError) as problem:
        raise ValuesError(f"its values are not JSON: {problem}") from problem
    if len(text) > VALUES_BYTES:
        raise ValuesError(f"its values take {len(text)} bytes as JSON; {VALUES_BYTES} are allowed")
    return text


def _paths(found: Any) -> Any:
    return [Path(path) for path in found] if isinstance(found, list) else Path(found)


class Members:
    """The members of a group, one after another as dictionaries; none for an item of another kind."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Message]:
        if self._path is None:
            return
        with _open(self._path, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                yield _loads(line)


def _task(message: Message) -> SimpleNamespace:
    """Return the object that the user's function gets."""
    item = message["item"]
    return SimpleNamespace(
        item=Path(item) if item is not None else None,
        key=message["key"],
        params=message["params"],
        meta=message["meta"],
        inputs={
            step: {name: _paths(found) for name, found in outputs.items()}
            for step, outputs in message["inputs"].items()
        },
        values=message["values"],
        outputs={name: Path(path) for name, path in message["outputs"].items()},
        scratch=Path(message["scratch"]),
        members=Members(message["env"].get("STOKER_MEMBERS")),
    )


class Server:
    """Serves tasks until the worker goes away."""

    def __init__(self, channel: Channel, streams: Any, folder: str) -> None:
        self._channel = channel
        self._streams = streams
        self._folder = folder
        self._functions: dict[str, Callable[[Any], Any]] = {}
        self._environment = dict(os.environ)
        self._raw = _raw_environment()
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._set: tuple[str, ...] = ()
        self._imported = 0
        self._pid = _getpid()
        self._peak = Peak()
        self._state = State()

    def serve(self) -> None:
        """Call the functions for all tasks that come, each in its own scratch."""
        message = self._channel.receive()
        while message is not None:
            reply = self._run(message)
            is_last = not reply.pop("fit")
            if is_last:
                reply["leave"] = True
            self._channel.send(reply, message["seat"])
            message = None if is_last else self._channel.receive()

    def _run(self, message: Message) -> Message:
        """Return the reply for one task."""
        self._streams.restore()
        self._enter(message)
        reply: dict[str, Any] = {"id": message["id"], "exit": None, "error": None, "problem": None}
        before = _times()
        reply["started"] = _time()
        try:
            function = self._function(message["function"])
            reply["values"] = _encode(function(_task(message)))
        except SystemExit as end:
            reply["exit"] = _exit_code(end.code)
        except ValuesError as problem:
            reply["problem"] = str(problem)[:WORDS]
        except BaseException as problem:  # noqa: BLE001 - whatever the user's function raises
            reply["error"] = _words_of(problem)
            _show(problem)
        finally:
            if _getpid() != self._pid:
                _exit(1)  # a process that the function forked came back from it
        reply["fit"] = self._state.restore()
        reply["ended"] = _time()
        after = _times()
        reply["user"] = after[0] - before[0]
        reply["system"] = after[1] - before[1]
        reply["rss"] = self._peak.bytes()
        reply["text"] = self._streams.collect(message["seat"])
        if len(sys.modules) != self._imported:
            self._imported = len(sys.modules)
            reply["files"] = _files(self._folder)
        return reply

    def _enter(self, message: Message) -> None:
        """Environment and working directory are those of the task, and of no task before it."""
        environment = message["env"]
        for name in self._set:
            if name in self._environment:
                os.environ[name] = self._environment[name]
            else:
                os.environ.pop(name, None)
        if _raw_environment() != self._raw:  # the task before it changed something else
            os.environ.clear()
            os.environ.update(self._environment)
        os.environ.update(environment)
        self._set = tuple(environment)
        own, most = self._files
        resource.setrlimit(resource.RLIMIT_NOFILE, (message["open_files"] or own, most))
        _chdir(message["scratch"])

    def _function(self, name: str) -> Callable[[Any], Any]:
        """Return the function `module:name`, imported once."""
        if name not in self._functions:
            module_name, _, attribute = name.partition(":")
            found: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                found = getattr(found, part)
            self._functions[name] = found
            self._state.remember()  # what the module set up is to stay
            self._keep_environment()
        return self._functions[name]

    def _keep_environment(self) -> None:
        """The variables that an import has set stay; those of its task go with the task."""
        of_task = {os.fsencode(name) for name in self._set}
        kept = {name: value for name, value in _raw_environment().items() if name not in of_task}
        kept.update({name: value for name, value in self._raw.items() if name in of_task})
        self._raw = kept
        self._environment = {os.fsdecode(name): os.fsdecode(kept[name]) for name in kept}


class ValuesError(Exception):
    """What the function returned cannot be values."""


def _words_of(problem: BaseException) -> str:
    """Return the last line of the traceback, cut to a bearable length."""
    return "".join(traceback.format_exception_only(type(problem), problem)).strip()[:WORDS]


def _show(problem: BaseException) -> None:
    """The traceback stands on stderr, without the frames of this file."""
    frames = problem.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    traceback.print_exception(type(problem), problem, frames)


def _exit_code(code: Any) -> int:
    """Return the exit code that `sys.exit(code)` would give the process."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _raw_environment() -> dict[Any, Any]:
    """Return a copy of the environment, undecoded where this Python lets us: that is quick."""
    return dict(getattr(os.environ, "_data", os.environ))


def _times() -> tuple[float, float]:
    """Return user and system time of this process and its children."""
    own = _getrusage(resource.RUSAGE_SELF)
    children = _getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + children.ru_utime, own.ru_stime + children.ru_stime


class Peak:
    """The most memory that this process, or one that it waited for, had in the task just ended.

    From /proc, since Linux counts what a parent had into the `getrusage` of what it starts.
    """

    def __init__(self) -> None:
        self._most_of_children = 0
        self._status = _open_or_none("/proc/self/status", os.O_RDONLY)
        self._reset = _open_or_none("/proc/self/clear_refs", os.O_WRONLY)

    def bytes(self) -> int:
        """Return it in bytes, 0 where it is not known, and start again for the next task."""
        most, now = self._most_and_now()
        if most > now + most // 8 and self._reset is not None:
            with suppress(OSError):
                os.write(self._reset, b"5")  # from here on the peak is counted from what is held
        children = _getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        if children > self._most_of_children:
            self._most_of_children = children
            most = max(most, children)
        return most * 1024

    def _most_and_now(self) -> tuple[int, int]:
        """Return the peak and the present of this process in KiB; zeros where /proc is silent."""
        if self._status is None:
            return 0, 0
        try:
            text = _pread(self._status, 4096, 0)
        except OSError:  # a task closed what is not its own
            return 0, 0
        found = re.search(rb"VmHWM:\s*(\d+).*VmRSS:\s*(\d+)", text, re.DOTALL)
        return (int(found[1]), int(found[2])) if found else (0, 0)


def _open_or_none(path: str, flags: int) -> int | None:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return None


def _files(folder: str) -> list[str]:
    """Return the files of imported modules in the pipeline's folder."""
    found = []
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and os.path.abspath(file).startswith(folder + os.sep):
            found.append(file)
    return found


def main() -> None:
    """Take the socket from standard input, the folder from the command line, and serve."""
    channel = Channel(above(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    folder = sys.argv[1]
    sys.path.insert(0, folder)
    sys.argv = [""]
    Server(channel, Streams(), folder).serve()
    _exit(0)


if __name__ == "__main__":
    main()
