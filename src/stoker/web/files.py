"""Files of results on their way to a client: never a device, never shown in our origin."""

import os
import stat
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import Response, StreamingResponse

from stoker.store.rows import OutputRow
from stoker.web.problems import Problem
from stoker.web.site import Site

PIECE_BYTES = 1 << 18
SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "application/json")
GUARDED = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-site",
}


class FileThere:
    """An open regular file, and its size when it was opened."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self.size_bytes = size_bytes

    def read(self) -> bytes:
        """Return the next piece; empty at the end."""
        return os.read(self._descriptor, PIECE_BYTES)

    def read_all(self) -> bytes:
        """Return the whole content, up to the size that was found, and close the file."""
        try:
            return os.pread(self._descriptor, self.size_bytes, 0)
        finally:
            self.close()

    def close(self) -> None:
        """Give the descriptor back; again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_file(output: OutputRow) -> FileThere:
    """Return the published file, opened; Problem 410 where it is not there any more."""
    return open_path(output.path, name=output.name)


def open_path(path: str, *, name: str) -> FileThere:
    """Return the file at the path, opened; Problem 410 where it is not there, or not a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Problem(410, f"the file of `{name}` cannot be read: {error.strerror}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise Problem(410, f"`{name}` is not a file any more")
    return FileThere(descriptor, found.st_size)


async def file_answer(site: Site, files: Sequence[OutputRow], name: str, media: str) -> Response:
    """Return the file as it is. It is saved, or shown where nothing in it can run."""
    shown_name = os.path.basename(files[0].path) or name
    return await path_answer(site, files[0].path, name=shown_name, media=media)


async def path_answer(site: Site, path: str, *, name: str, media: str) -> Response:
    """Return the file at the path under that name, as `file_answer` does."""
    there = await site.call(open_path, path, name=name)
    plain = media.partition(";")[0]
    how = "inline" if plain in SHOWN else "attachment"
    headers = {
        **GUARDED,
        "Content-Length": str(there.size_bytes),
        "Content-Disposition": f"{how}; filename*=utf-8''{quote(name, safe='', errors='replace')}",
    }
    kind = f"{media}; charset=utf-8" if media == "text/plain" else media
    return StreamingResponse(pieces_of(there), headers=headers, media_type=kind)


async def pieces_of(there: FileThere) -> AsyncIterator[bytes]:
    """Yield the content, up to the size that it had when it was opened, and close the file."""
    left = there.size_bytes
    try:
        while left > 0:
            piece = (await to_thread.run_sync(there.read))[:left]
            if not piece:
                return  # it was cut meanwhile: the client sees that the length is wrong
            left -= len(piece)
            yield piece
    finally:
        there.close()
