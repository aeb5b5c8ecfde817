"""Owns files on a host that has no shell for us, or no rsync: the SFTP protocol, as version 3 has it.

OpenSSH's own `sftp` cannot be used for it: it takes names from lines, replaces what is there, and reads
nothing back without a second file. SFTP knows no checksums, so what has arrived is read over the line.
"""

import hashlib
import os
import stat
import struct
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from stoker.errors import NotFound, Refused, StokerError, Unavailable, UserError
from stoker.transfer.contents import Contents, Seen
from stoker.transfer.ssh import Connection, failure

_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE, _LSTAT = 1, 2, 3, 4, 5, 6, 7
_FSETSTAT, _REMOVE, _MKDIR, _REALPATH, _STAT, _RENAME = 10, 13, 14, 16, 17, 18
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED = 101, 102, 103, 104, 105, 200
_OK, _EOF, _NO_SUCH_FILE, _DENIED = 0, 1, 2, 3
_FOR_READING, _FOR_WRITING = 0x01, 0x02 | 0x08  # the latter creates the file
_TRUNCATE = 0x10
_BLOCK = 32 * 1024  # what every server takes at once
_UNDER_WAY = 64  # blocks that are asked for or sent before the first is answered
_LONGEST = 1 << 20  # bytes of an answer
_ANSWER_S = 60.0


class Status(Exception):
    """The server's answer that something was not done."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said or f"status {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class _Found:
    """What the server knows of a file."""

    size_bytes: int
    mode: int
    mtime: int


class Sftp:
    """The files of a host, for as long as the block lasts.

    Unavailable where the host breaks off or takes too long; Refused where it lets nobody in.
    """

    def __init__(self, connection: Connection) -> None:
        self.name = connection.name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        self._took_too_long = False
        self._number = 0
        self._answers: dict[int, tuple[int, bytes]] = {}
        self._can_sync = False
        command = connection.command("-s", "sftp")
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
            )
        except FileNotFoundError:
            self._stderr.close()
            raise UserError(f"there is no program `{command[0]}` on this host") from None

    def __enter__(self) -> Self:
        try:
            with self._within(_ANSWER_S):
                self._greet()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._process.stdin, self._process.stdout:
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    # ------------------------------------------------------------------------- what a transfer needs

    def look(self, path: str, *, make: bool, read: bool, timeout_s: float) -> Seen:
        """Return what is at the path. `make`: the folder for a new file; `read`: the checksum of one."""
        with self._within(timeout_s):
            whole = self._absolute(os.fsencode(path))
            folder, _, name = whole.rpartition(b"/")
            kind, size_bytes, holds = self._at(whole), 0, None
            if kind == "file":
                found = self._find(_STAT, whole)
                size_bytes = found.size_bytes if found else 0
                with suppress(Refused):
                    holds = self._contents(whole) if read else None
            elif kind == "none" and make and not self._make(folder or b"/"):
                kind = "denied"
            with suppress(Status):
                folder = self._real(folder or b"/")
            return Seen(kind, os.fsdecode(folder.rstrip(b"/") + b"/" + name), size_bytes, holds)

    def put(self, source: str, part: str, *, timeout_s: float) -> None:
        """The file here is at `part` there; one that was broken off goes on where it ended."""
        there = os.fsencode(part)
        with self._within(timeout_s), open(source, "rb") as file:
            found, own = self._find(_STAT, there), os.fstat(file.fileno())
            begin = found.size_bytes if found and found.size_bytes <= own.st_size else 0
            how = _FOR_WRITING | (0 if begin else _TRUNCATE)
            permissions = struct.pack(">II", 4, own.st_mode & 0o777)
            handle = self._open(there, how, permissions, part)
            file.seek(begin)
            under_way: deque[int] = deque()
            try:
                while block := file.read(_BLOCK):
                    under_way.append(
                        self._send(_WRITE, _text(handle), struct.pack(">Q", begin), _text(block))
                    )
                    begin += len(block)
                    if len(under_way) >= _UNDER_WAY:
                        self._done(under_way.popleft())
                while under_way:
                    self._done(under_way.popleft())
                with suppress(Status):  # a server may not keep times
                    times = struct.pack(">III", 8, int(own.st_atime), int(own.st_mtime))
                    self._done(self._send(_FSETSTAT, _text(handle), times))
                if self._can_sync:
                    self._done(self._send(_EXTENDED, _text(b"fsync@openssh.com"), _text(handle)))
                self._done(self._send(_CLOSE, _text(handle)))
            except Status as error:
                raise self._error(part, "written", error) from None

    def finish(self, part: str, target: str, sha256: str, *, timeout_s: float) -> str:
        """Read `part` back and give it its name: `placed`, `taken`, `differs`, `denied` or `gone`."""
        hidden, name = os.fsencode(part), os.fsencode(target)
        with self._within(timeout_s):
            try:
                if self._contents(hidden).sha256 != sha256:
                    self._done(self._send(_REMOVE, _text(hidden)))
                    return "differs"
            except NotFound:
                return "gone"
            # Some servers replace what is there, though the protocol forbids it.
            if self._at(name) == "none":
                try:
                    self._done(self._send(_RENAME, _text(hidden), _text(name)))
                except Status:
                    if self._at(name) == "none":
                        return "denied"
                else:
                    return "placed"
            with suppress(Status):
                self._done(self._send(_REMOVE, _text(hidden)))
            return "taken"

    def get(self, source: str, part: str, *, timeout_s: float) -> None:
        """The file there is at `part` here; one that was broken off goes on where it ended."""
        with self._within(timeout_s), open(part, "ab") as file:
            there = self._absolute(os.fsencode(source))
            found = self._find(_STAT, there)
            if found and file.tell() > found.size_bytes:
                file.truncate(0)
            file.writelines(self._blocks(there, os.fstat(file.fileno()).st_size))
        if found:
            os.utime(part, (found.mtime, found.mtime))

    # --------------------------------------------------------------------------------------- files

    def _absolute(self, path: bytes) -> bytes:
        path = path.removeprefix(b"~/")  # a server begins at home
        return path if path.startswith(b"/") else self._real(b".").rstrip(b"/") + b"/" + path

    def _real(self, path: bytes) -> bytes:
        kind, body = self._reply(self._send(_REALPATH, _text(path)))
        if kind != _NAME:
            raise self._status(kind, body)
        return _first_text(body[4:])

    def _at(self, path: bytes) -> str:
        if self._find(_LSTAT, path) is None:
            return "none"
        found = self._find(_STAT, path)
        if found is None:
            return "other"
        if stat.S_ISDIR(found.mode):
            return "folder"
        return "file" if stat.S_ISREG(found.mode) else "other"

    def _find(self, how: int, path: bytes) -> _Found | None:
        """Return what the server knows of a file, if there is one."""
        kind, body = self._reply(self._send(how, _text(path)))
        if kind == _ATTRS:
            return _attributes(body)
        error = self._status(kind, body)
        if error.code == _NO_SUCH_FILE:
            return None
        raise self._error(os.fsdecode(path), "looked at", error)

    def _make(self, folder: bytes) -> bool:
        """The folder is there; return whether it is."""
        if self._at(folder) == "none":
            parent = folder.rpartition(b"/")[0] or b"/"
            if not self._make(parent):
                return False
            with suppress(Status):  # another may have been quicker
                self._done(self._send(_MKDIR, _text(folder), struct.pack(">I", 0)))
        return self._at(folder) == "folder"

    def _open(self, path: bytes, how: int, attributes: bytes, shown: str) -> bytes:
        kind, body = self._reply(self._send(_OPEN, _text(path), struct.pack(">I", how), attributes))
        if kind == _HANDLE:
            return _first_text(body)
        what = "read" if how == _FOR_READING else "written"
        raise self._error(shown, what, self._status(kind, body))

    def _contents(self, path: bytes) -> Contents:
        digest, size = hashlib.sha256(), 0
        for block in self._blocks(path, 0):
            digest.update(block)
            size += len(block)
        return Contents(size, digest.hexdigest())

    def _blocks(self, path: bytes, begin: int) -> Iterator[bytes]:
        """Yield what the file holds from there to where it ended when this began."""
        shown = os.fsdecode(path)
        handle = self._open(path, _FOR_READING, struct.pack(">I", 0), shown)
        found = self._find(_STAT, path)
        end = found.size_bytes if found else 0
        under_way: deque[tuple[int, int, int]] = deque()
        try:
            while begin < end or under_way:
                while begin < end and len(under_way) < _UNDER_WAY:
                    length = min(_BLOCK, end - begin)
                    under_way.append((self._ask_block(handle, begin, length), begin, length))
                    begin += length
                number, at, length = under_way.popleft()
                block = self._block(number)
                while block and len(block) < length:  # a server may answer with less
                    more = self._block(
                        self._ask_block(handle, at + len(block), length - len(block))
                    )
                    length = length if more else len(block)
                    block += more
                yield block
            self._done(self._send(_CLOSE, _text(handle)))
        except Status as error:
            raise self._error(shown, "read", error) from None

    def _ask_block(self, handle: bytes, begin: int, length: int) -> int:
        return self._send(_READ, _text(handle), struct.pack(">QI", begin, length))

    def _block(self, number: int) -> bytes:
        """Return the bytes for which that number asked; none at the end of the file."""
        kind, body = self._reply(number)
        if kind == _DATA:
            return _first_text(body)
        error = self._status(kind, body)
        if error.code == _EOF:
            return b""
        raise error

    def _error(self, path: str, what: str, error: Status) -> StokerError:
        if error.code == _NO_SUCH_FILE:
            return NotFound(f"there is no file `{self.name}:{path}`")
        if error.code == _DENIED:
            return Refused(f"`{self.name}:{path}` may not be {what} by this account")
        why = f"{error} (no space left, or read-only?)" if what == "written" else f"{error}"
        return Unavailable(f"`{self.name}:{path}` cannot be {what}: {why}")

    # ------------------------------------------------------------------------------------- packets

    def _greet(self) -> None:
        self._put(struct.pack(">BI", _INIT, 3))
        kind, body = self._packet()
        if kind != _VERSION:
            raise Unavailable(f"`{self.name}` does not speak SFTP")
        self._can_sync = b"fsync@openssh.com" in body

    @contextmanager
    def _within(self, timeout_s: float) -> Iterator[None]:
        """What is done in the block ends within that time, by the end of ssh if not otherwise."""
        timer = threading.Timer(timeout_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (EOFError, BrokenPipeError):
            if self._took_too_long:
                raise Unavailable(f"`{self.name}` took longer than {timeout_s:.0f} s") from None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ANSWER_S)
            self._stderr.seek(0)
            raise failure(
                self.name, self._process.returncode or 0, self._stderr.read(_LONGEST)
            ) from None
        except Status as error:
            raise Unavailable(f"`{self.name}` answered by SFTP: {error}") from None
        except (struct.error, IndexError):
            raise Unavailable(f"`{self.name}` gave an answer that is not SFTP") from None
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._took_too_long = True
        self._process.kill()

    def _send(self, kind: int, *fields: bytes) -> int:
        """Return the number of the request; one `_reply` belongs to it."""
        self._number = (self._number + 1) % (1 << 32)
        self._put(struct.pack(">BI", kind, self._number) + b"".join(fields))
        return self._number

    def _put(self, packet: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - as asked for
        self._process.stdin.write(_text(packet))
        self._process.stdin.flush()

    def _reply(self, number: int) -> tuple[int, bytes]:
        while number not in self._answers:
            kind, body = self._packet()
            self._answers[struct.unpack_from(">I", body)[0]] = kind, body[4:]
        return self._answers.pop(number)

    def _packet(self) -> tuple[int, bytes]:
        (length,) = struct.unpack(">I", self._bytes(4))
        if not 1 <= length <= _LONGEST:
            raise Unavailable(f"`{self.name}` gave an answer that is not SFTP")
        packet = self._bytes(length)
        return packet[0], packet[1:]

    def _bytes(self, length: int) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - as asked for
        got = self._process.stdout.read(length)
        if len(got) < length:
            raise EOFError
        return got

    def _done(self, number: int) -> None:
        """The request was carried out; else Status."""
        error = self._status(*self._reply(number))
        if error.code != _OK:
            raise error

    def _status(self, kind: int, body: bytes) -> Status:
        if kind != _STATUS:
            raise Unavailable(f"`{self.name}` gave an answer that is not SFTP")
        (code,) = struct.unpack_from(">I", body)
        said = _first_text(body[4:]) if len(body) > 4 else b""
        return Status(code, said.decode(errors="replace"))


def _text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _first_text(body: bytes) -> bytes:
    (length,) = struct.unpack_from(">I", body)
    return body[4 : 4 + length]


def _attributes(body: bytes) -> _Found:
    """Return the fields of a file, which are there as the flags at the beginning say."""
    (flags,) = struct.unpack_from(">I", body)
    at, size_bytes, mode, mtime = 4, 0, stat.S_IFREG, 0
    if flags & 1:
        (size_bytes,) = struct.unpack_from(">Q", body, at)
        at += 8
    if flags & 2:  # owner and group
        at += 8
    if flags & 4:
        (mode,) = struct.unpack_from(">I", body, at)
        at += 4
    if flags & 8:
        _, mtime = struct.unpack_from(">II", body, at)
    return _Found(size_bytes, mode, mtime)
