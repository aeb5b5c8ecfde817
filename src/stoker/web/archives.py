"""Several files, or a folder, as one zip file, made while it is sent: of any size, in steady memory.

Contents are stored as they are: most results that are large are compressed already. Only regular files
and links that stay inside are in it; what was left out is named in `LEFT_OUT.txt`.
"""

import io
import os
import stat
import time
import zipfile
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

from starlette.responses import StreamingResponse

from stoker.web.files import GUARDED

MEDIA = "application/zip"
LEFT_OUT = "LEFT_OUT.txt"
_PIECE_BYTES = 1 << 18
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip file can tell


class Entry(NamedTuple):
    """What goes into an archive: the file or folder at `path`, or a text, under a name."""

    name: str
    path: str = ""
    text: str = ""


def archive_answer(entries: Sequence[Entry], name: str) -> StreamingResponse:
    """Return the answer that is an archive of these, saved under that name."""
    headers = {
        **GUARDED,
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}",
    }
    return StreamingResponse(pieces(entries), headers=headers, media_type=MEDIA)


def is_one_file(paths: Sequence[str]) -> bool:
    """Whether it is a single file, which is sent as it is; one that is gone is for others to say."""
    return len(paths) == 1 and not os.path.isdir(paths[0])


class _Sink(io.RawIOBase):
    """What is written to it is taken from it again, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self._content += content
        return len(content)

    def take(self) -> bytes:
        """Return what has been written since the last time."""
        taken = bytes(self._content)
        self._content.clear()
        return taken


def pieces(entries: Sequence[Entry]) -> Iterator[bytes]:
    """Yield the archive, piece by piece."""
    sink, left_out = _Sink(), []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for entry in entries:
            if not entry.path:
                archive.writestr(zipfile.ZipInfo(entry.name, _moment(time.time())), entry.text)
                continue
            for name, path in _below(entry.name, entry.path):
                why = yield from _add(archive, sink, name, path)
                if why is not None:
                    left_out.append(f"{name}: {why}\n")
        if left_out:
            archive.writestr(LEFT_OUT, "".join(left_out))
    yield sink.take()


def _below(name: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield name and path of all that is not a folder, in order."""
    if not os.path.isdir(path):
        yield shown(name), path
        return
    for folder, inner, files in os.walk(path):
        inner.sort()
        links = [one for one in inner if os.path.islink(os.path.join(folder, one))]
        within = os.path.relpath(folder, path)
        for one in sorted(files + links):
            parts = [name, *([] if within == "." else [within]), one]
            yield shown("/".join(parts)), os.path.join(folder, one)


def _add(
    archive: zipfile.ZipFile, sink: _Sink, name: str, path: str
) -> Generator[bytes, None, str | None]:
    """Add one file or link, and yield what that makes; the value is why it is not in."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if os.path.islink(path):
            return _add_link(archive, name, path)
        return error.strerror
    with open(descriptor, "rb", buffering=0) as file:
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode):
            return "it is not a file"
        info = zipfile.ZipInfo(name, _moment(there.st_mtime))
        info.external_attr = (stat.S_IFREG | (there.st_mode & 0o755)) << 16
        with archive.open(info, "w", force_zip64=True) as target:
            while piece := file.read(_PIECE_BYTES):
                target.write(piece)
                yield sink.take()
    yield sink.take()
    return None


def _add_link(archive: zipfile.ZipFile, name: str, path: str) -> str | None:
    target = os.readlink(path)
    inside = os.path.normpath(os.path.join(os.path.dirname(name), target))
    first = name.split("/", 1)[0]
    if os.path.isabs(target) or inside.split("/", 1)[0] != first:
        return f"it is a link to elsewhere: {shown(target)}"
    info = zipfile.ZipInfo(name, _moment(os.lstat(path).st_mtime))
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, shown(target))
    return None


def shown(name: str) -> str:
    """Return a name of any bytes as text: those that are not UTF-8 stand as `%XX`."""
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in name)


def _moment(at_s: float) -> tuple[int, int, int, int, int, int]:
    found = time.gmtime(at_s)[:6]
    return max(_EARLIEST, found)
