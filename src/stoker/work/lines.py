"""The worker's side of warm processes that get a line of JSON for each task and answer with one.

Functions of Octave, MATLAB and R are called by a helper of ours (`languages/`), which finds both
ways as FIFOs in the process's folder; what the function prints goes to files. A persistent program
reads its standard input and answers on its standard output, where every other line is output of the
task that it works on.

One task at a time is given: a process may read ahead, so that a task has begun once it was read.
"""

import fcntl
import json
import os
import resource
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from stoker.rights import PRIVATE, Rights
from stoker.work import usage
from stoker.work.code_files import CodeFiles
from stoker.work.exit import Exit
from stoker.work.household import Household, Usual
from stoker.work.line_answers import LINE_BYTES, Answer, claims_to_answer, parse_answer
from stoker.work.running import Running
from stoker.work.spawn import check_open_files, encode_env, with_open_files
from stoker.work.warm_key import Kind, WarmKey, helper_environment
from stoker.work.warm_process import Malformed, WarmProcess

START_S = 600.0  # that a helper gets until it takes tasks
_AT_ONCE = 4 * 1024 * 1024  # bytes of output that are taken in before others have their turn
_WISHED_BYTES = 1024 * 1024  # that a FIFO holds, if the system lets us
_OPENED = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
_END = b'{"stoker":"end"}\n\n'


class LineProcess(WarmProcess):
    """A warm process of `octave`, `matlab` and `r` steps, or of a persistent program."""

    def __init__(
        self, key: WarmKey, folder: str, *, rights: Rights = PRIVATE, usual: Usual
    ) -> None:
        super().__init__(key, folder, rights=rights)
        self._is_ours = key.kind is not Kind.PERSISTENT  # whether our helper answers
        self._usual = usual
        self._household: Household | None = None
        self._code = CodeFiles()
        self._is_ready = not self._is_ours
        self._is_hung_up = False
        self._start_s = time.monotonic()
        self._whole = self._unsent = b""  # the message of its task, and what it cannot read yet
        self._line = b""  # what it has written since the last line end
        self._is_skipping = False  # the line goes on that was too long to be kept
        self._began_us = 0
        self._used_before = (0, 0)
        self._tasks = _make_fifo(os.path.join(folder, "tasks"))
        try:
            self._answers = _make_fifo(os.path.join(folder, "answers"))
        except OSError:
            os.close(self._tasks)
            raise

    # ---------------------------------------------------------------------------- start and end

    def start(self, env: Sequence[bytes], path: bytes) -> None:
        """The process runs. OSError if the system has no room for it."""
        argv = [os.fsencode(word) for word in self.key.program]
        if self.key.open_files is not None:
            check_open_files(self.key.open_files)
            argv = with_open_files(argv, self.key.open_files)
        self._watch_code()
        seat = self.place.seat.folder
        if self._is_ours:
            own = {"STOKER_WARM": seat, **helper_environment(self.key.folder)}
            self.pid = self._launch(argv, [*env, *encode_env(own)], path, seat, None)
        else:
            stdin = os.open(os.path.join(seat, "tasks"), os.O_RDONLY | os.O_CLOEXEC)
            stdout = os.open(os.path.join(seat, "answers"), os.O_WRONLY | os.O_CLOEXEC)
            try:
                self.pid = self._launch(argv, env, path, self.key.folder, (stdin, stdout))
            finally:
                os.close(stdin)
                os.close(stdout)
        self._household = Household(self.pid, self.key, self._usual)

    def _launch(
        self,
        argv: Sequence[bytes],
        env: Sequence[bytes],
        path: bytes,
        folder: str,
        streams: tuple[int, int] | None,
    ) -> int:
        stdin, stdout = streams or (None, self.place.stdout.descriptor)
        return self.place.launcher.start(
            argv,
            env,
            path=path,
            folder=folder,
            stdin=stdin,
            stdout=stdout,
            stderr=self.place.stderr.descriptor,
        )

    def _watch_code(self) -> None:
        if self.key.kind in (Kind.OCTAVE, Kind.MATLAB):
            self._code.add_folder(self.key.folder, ".m")
        elif self.key.kind is Kind.PERSISTENT:
            for word in self.key.program:
                path = os.path.normpath(os.path.join(self.key.folder, word))
                if path.startswith(f"{self.key.folder}/") and os.path.isfile(path):
                    self._code.add_file(path)

    def is_outdated(self) -> bool:
        """Whether a file with its code was changed since it was started."""
        return self._code.are_changed()

    def fileno(self) -> int:
        """Return what becomes readable when the process has written something."""
        return self._answers

    @property
    def is_starting(self) -> bool:
        """Whether the helper has not said yet that it takes tasks."""
        return not self._is_ready

    def hang_up(self) -> None:
        """The process ends by itself as soon as it has nothing to do."""
        if self._is_hung_up:
            return
        self._is_hung_up = True
        if self._is_ours:
            with suppress(OSError):
                os.write(self._tasks, _END)
        else:
            os.close(self._tasks)
            self._tasks = -1

    def close(self) -> None:
        """Give the descriptors back."""
        super().close()
        for descriptor in (self._tasks, self._answers):
            if descriptor >= 0:
                os.close(descriptor)
        self._tasks = self._answers = -1

    # ------------------------------------------------------------------------------------ tasks

    def send(self, message: Mapping[str, Any], running: Running) -> bool:
        """Whether the process has this task before it; False if it has one already."""
        if self.held:
            return False
        self._whole = self._unsent = self._encode(message)
        self.held[running.serial] = running
        self.place.stdout.collect()  # what came after an answer belongs to no task
        self.place.stderr.collect()
        self._line, self._is_skipping = b"", False
        if self._is_ready:
            self._deliver()
        return True

    def _encode(self, message: Mapping[str, Any]) -> bytes:
        """Return the message as a line.

        Our helpers get names as the bytes that they are, and a second line end: some programs look
        at what follows a line before they take it.
        """
        if not self._is_ours:
            fields = {name: one for name, one in message.items() if name not in _NOT_FOR_PROGRAMS}
            return json.dumps(fields).encode() + b"\n"
        if self.key.kind is Kind.R:
            file = os.path.join(self.key.folder, message["function"].rpartition(":")[0])
            self._code.add_folder(os.path.dirname(file), ".r")
        return line_for_helper(message).encode("utf-8", "surrogateescape") + b"\n\n"

    def _deliver(self) -> None:
        """The task's time begins: it can be read."""
        usage.forget_peak(self.pid)
        self._used_before = usage.used_us(self.pid)
        self._began_us = time.time_ns() // 1000
        self._write()

    def _write(self) -> None:
        """As much of the message as there is room for can be read."""
        while self._unsent and self._is_ready and not self._is_hung_up:
            try:
                written = os.write(self._tasks, self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[written:]

    def tend(self) -> None:
        """The rest of a long message goes out; a helper that does not get ready is given up."""
        super().tend()
        self._write()
        if self.is_starting and time.monotonic() - self._start_s > START_S and not self.problem:
            self.problem = f"`{self.key.program[0]}` took no task within {START_S / 60:.0f} minutes"

    def withdraw(self) -> list[Running]:
        """Return the task, if none of it was read yet."""
        running = self.current
        if running is None or not self._is_unread():
            return []
        self.held.clear()
        self._whole = self._unsent = b""
        return [running]

    def _is_unread(self) -> bool:
        """Whether none of the message was read; it is taken back then."""
        sent = len(self._whole) - len(self._unsent)
        if sent == 0:
            return True
        if self._is_hung_up or _waiting_bytes(self._tasks) < sent:
            return False
        try:
            data = os.read(self._tasks, _WISHED_BYTES)
        except BlockingIOError:
            return False
        if data.endswith(self._whole[:sent]):
            return True
        os.write(self._tasks, data)  # the process has come first: it reads on in what we took
        return False

    # ---------------------------------------------------------------------------------- answers

    def receive(self) -> list[tuple[Running, Exit]]:
        """Return the call that has ended since, if one has."""
        ended: list[tuple[Running, Exit]] = []
        taken = 0
        while self.problem is None and taken < _AT_ONCE:
            try:
                data = os.read(self._answers, 1 << 16)
            except OSError:  # nothing there, or closed
                break
            taken += len(data)
            ended += self._take(data)
        if self.is_over and self._line and self.problem is None:
            ended += self._take(b"\n")  # the last line has no end
        return ended

    def _take(self, data: bytes) -> list[tuple[Running, Exit]]:
        """Return the call that has ended by these bytes; output is kept."""
        ended: list[tuple[Running, Exit]] = []
        *whole, rest = data.split(b"\n")
        try:
            for end in whole:
                line, self._line = self._line + end, b""
                found = None if self._skips(line + b"\n") else self._take_line(line)
                self._is_skipping = False
                if found is not None:
                    ended.append(found)
            self._line += rest
            self._mind_length()
        except Malformed as problem:
            self.problem = f"its process gave an answer that makes no sense ({problem})"
        except OSError as problem:
            self.problem = f"its output could not be kept: {problem.strerror}"
        self.is_leaving |= self.problem is not None
        return ended

    def _skips(self, output: bytes) -> bool:
        """Whether this is the rest of a line that was too long, which is kept as output."""
        if self._is_skipping:
            self._keep(output)
        return self._is_skipping

    def _mind_length(self) -> None:
        """A line that is too long for an answer is output. Malformed if it began as an answer."""
        if self._skips(self._line):
            self._line = b""
        elif len(self._line) > LINE_BYTES:
            if self._is_ours or claims_to_answer(self._line):
                raise Malformed(f"it is longer than {LINE_BYTES} bytes")
            self._keep(self._line)
            self._line, self._is_skipping = b"", True

    def _take_line(self, line: bytes) -> tuple[Running, Exit] | None:
        """Return the call that has ended by this line. Malformed, OSError."""
        if self._is_ours:
            line = line.decode("utf-8", "replace").encode()  # as the user's words may be anything
        answer = parse_answer(line)
        if answer is None:
            if self._is_ours:
                raise Malformed("it is not JSON")
            self._keep(line + b"\n")
            return None
        running = self.current
        if answer.word == "ready" and self._is_ours and not self._is_ready:
            self._get_ready(running)
            return None
        if answer.word == "ready":
            raise Malformed("it is `ready`, where `done` or `failed` is expected")
        if running is None or self._unsent:
            raise Malformed("nothing was asked")
        if answer.id is not None and answer.id != running.serial:
            raise Malformed("it answers something else")
        end = self._exit(answer)
        self.held.clear()
        self._whole = b""
        self.has_answered = True
        return running, end

    def _get_ready(self, running: Running | None) -> None:
        self._is_ready = True
        if self._household is not None:
            self._household.settle()
        if running is not None:
            running.begin(self.pid)  # its time limit does not hold for the start of the helper
            self._deliver()

    def _keep(self, output: bytes) -> None:
        """Output of a task is in the file of the process's stdout; without a task it is dropped."""
        view = memoryview(output) if self.held else memoryview(b"")
        while view:
            view = view[os.write(self.place.stdout.descriptor, view) :]
        if len(output) >= LINE_BYTES:
            self.place.stdout.bound()

    def _exit(self, answer: Answer) -> Exit:
        """Return how the call ended; the process is leaving if it cannot serve another."""
        if self._household is not None and self._household.evict():
            self.is_leaving = True
        user_us, system_us = usage.used_us(self.pid)
        reason = answer.reason or "it answered `failed` without a reason"
        end = Exit(
            error=reason if answer.word == "failed" else None,
            problem=answer.problem,
            values={} if answer.problem else answer.values,
            started_us=self._began_us,
            ended_us=max(self._began_us, time.time_ns() // 1000),
            user_us=max(0, user_us - self._used_before[0]),
            system_us=max(0, system_us - self._used_before[1]),
            max_rss_bytes=usage.tree_peak_bytes(self.pid),
            stdout=self.place.stdout.collect(),
            stderr=self.place.stderr.collect(),
        )
        self.is_leaving |= _is_short_of_files(self.pid)
        return end


_NOT_FOR_PROGRAMS = ("seat", "function", "open_files")


def line_for_helper(message: Mapping[str, Any]) -> str:
    """Return a message as one of our helpers takes it: `function` is a word of its language."""
    fields = {**message, "call": message["function"], "env": list(message.get("env", {}).items())}
    del fields["function"]
    return json.dumps(fields, ensure_ascii=False)


def _make_fifo(path: str) -> int:
    """Return a descriptor of a new FIFO, both of whose ends it holds: nobody sees it close."""
    os.mkfifo(path, 0o600)
    descriptor = os.open(path, _OPENED)
    with suppress(OSError):  # more than the account may have
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _WISHED_BYTES)
    return descriptor


def _waiting_bytes(descriptor: int) -> int:
    """Return how many bytes wait in a FIFO."""
    found: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
    return found


def _is_short_of_files(pid: int) -> bool:
    """Whether over half of the files that a process may have open are."""
    try:
        most = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        return len(os.listdir(f"/proc/{pid}/fd")) > most // 2 > 0
    except OSError:
        return False
