"""Bodies of forms with files, read as they come: files go to the disk, fields are kept."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import anyio
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from stoker.errors import StokerError
from stoker.project.jobs.uploads import TooLarge, Upload, Uploads
from stoker.web.access.forgery import FIELD, check_token
from stoker.web.problems import Problem
from stoker.web.site import Site
from stoker.web.uploads.receiving import Incoming, drain, stated_length, steady

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELDS_BYTES = 4 << 20  # of all fields together
MOST_FIELDS = 10_000
MOST_FILES = 100
_BOUNDARY_BYTES = 70  # as RFC 2046 has it


@dataclass(slots=True)
class Form:
    """The fields and the files of a form, in order; names may come more than once.

    `too_large` has the names of fields whose file exceeded the limit, and was dropped.
    """

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, Upload]] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


async def read_form_with_files(
    site: Site,
    request: Request,
    *,
    limit_bytes: int | None,
    needs_token: bool,
    keeps_going: bool = False,
) -> Form:
    """Return the form, all its files uploaded; on any error nothing of them is left.

    With `needs_token`, Problem 403 unless the form's token comes, before its first file. With
    `keeps_going` a file that is too large is left out, and noted; else it ends the request.
    """
    reader = _Reader(
        site,
        request,
        limit_bytes=limit_bytes,
        needs_token=needs_token,
        keeps_going=keeps_going,
    )
    stream = steady(request)
    done = False
    try:
        found = await reader.read(stream)
        done = True
    except (TooLarge, Problem) as error:
        if isinstance(error, TooLarge) or error.status in (403, 413):
            await drain(stream)
        raise
    finally:
        if not done:
            with anyio.CancelScope(shield=True):
                await reader.remove_files()
    return found


@dataclass(slots=True)
class _Part:
    """One part of the body while it is read."""

    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    file_name: str | None = None
    media: str | None = None
    text: bytearray = field(default_factory=bytearray)
    incoming: Incoming | None = None


class _Reader:
    def __init__(
        self,
        site: Site,
        request: Request,
        *,
        limit_bytes: int | None,
        needs_token: bool,
        keeps_going: bool,
    ) -> None:
        self._site = site
        self._request = request
        self._limit_bytes = limit_bytes
        self._needs_token = needs_token
        self._keeps_going = keeps_going
        self._form = Form()
        self._fields_bytes = 0
        self._part = _Part()
        self._events: list[tuple[str, bytes]] = []
        self._has_ended = False

    async def read(self, stream: AsyncIterator[bytes]) -> Form:
        """Return the form once its last boundary has come."""
        parser = MultipartParser(_boundary(self._request), self._callbacks())
        try:
            async for chunk in stream:
                try:
                    parser.write(chunk)
                except MultipartParseError as error:
                    raise Problem(400, f"the body is not a form: {str(error)[:200]}") from None
                await self._follow()
        finally:
            await self._leave_file()
        if not self._has_ended:
            raise Problem(400, "the form broke off; nothing of it is kept")
        self._check_token()
        return self._form

    async def remove_files(self) -> None:
        """The files that had arrived are gone."""
        for _, upload in self._form.files:
            with suppress(StokerError):
                await self._site.call(Uploads(self._site.project).remove, upload.id)

    def _callbacks(self) -> "MultipartCallbacks":
        """Return what the parser calls: it notes what happens, which is then done on the loop."""

        def with_data(name: str) -> Callable[[bytes, int, int], None]:
            return lambda data, start, end: self._events.append((name, data[start:end]))

        def without(name: str) -> Callable[[], None]:
            return lambda: self._events.append((name, b""))

        made: dict[str, Callable[..., None]] = {
            f"on_{name}": with_data(name) for name in ("header_field", "header_value", "part_data")
        }
        words = ("part_begin", "header_end", "headers_finished", "part_end", "end")
        made |= {f"on_{name}": without(name) for name in words}
        return cast("MultipartCallbacks", made)

    async def _follow(self) -> None:
        events, self._events = self._events, []
        doing: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "part_begin": self._begin,
            "header_field": self._header_field,
            "header_value": self._header_value,
            "header_end": self._header_end,
            "headers_finished": self._headers_finished,
            "part_data": self._data,
            "part_end": self._end_part,
            "end": self._end,
        }
        for name, data in events:
            await doing[name](data)

    async def _begin(self, _data: bytes) -> None:
        self._part = _Part()

    async def _header_field(self, data: bytes) -> None:
        self._part.header_name += data

    async def _header_value(self, data: bytes) -> None:
        self._part.header_value += data

    async def _header_end(self, _data: bytes) -> None:
        part = self._part
        part.headers[bytes(part.header_name).lower()] = bytes(part.header_value)
        part.header_name, part.header_value = bytearray(), bytearray()

    async def _headers_finished(self, _data: bytes) -> None:
        part = self._part
        kind, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise Problem(400, "a part of the form has no name")
        part.name = _text(options[b"name"], "the name of a field")
        if b"filename" not in options:
            return
        part.file_name = options[b"filename"].decode("utf-8", "replace")
        part.media = plain_media(part.headers.get(b"content-type", b"").decode("latin-1"))
        if part.file_name:  # else a field for a file, and no file was chosen
            await self._begin_file(part)

    async def _begin_file(self, part: _Part) -> None:
        self._check_token()
        if len(self._form.files) + len(self._form.too_large) >= MOST_FILES:
            raise Problem(413, f"a form may have {MOST_FILES} files")
        # The whole body is at most this much larger than the file, so its length says enough.
        expected = stated_length(self._request) or 0
        limit = self._limit_bytes
        expected = expected if limit is None else min(expected, limit)
        part.incoming = Incoming(self._site, limit_bytes=limit, expected_bytes=expected)
        try:
            await part.incoming.__aenter__()
        except BaseException:
            part.incoming = None
            raise

    async def _data(self, data: bytes) -> None:
        part = self._part
        if part.file_name is not None:
            if part.incoming is not None:
                await self._write(part, part.incoming, data)
            return
        self._fields_bytes += len(data)
        if self._fields_bytes > FIELDS_BYTES:
            raise Problem(413, f"the fields of a form may have {FIELDS_BYTES >> 20} MiB")
        part.text += data

    async def _write(self, part: _Part, incoming: Incoming, data: bytes) -> None:
        try:
            await incoming.write(data)
        except TooLarge:
            if not self._keeps_going:
                raise
            await self._leave_file()
            self._form.too_large.append(part.name)

    async def _end_part(self, _data: bytes) -> None:
        part = self._part
        if part.incoming is not None:
            await self._finish(part, part.incoming)
        elif part.file_name is None:
            if len(self._form.fields) >= MOST_FIELDS:
                raise Problem(413, f"a form may have {MOST_FIELDS:,} fields")
            text = _text(bytes(part.text), f"the field `{part.name[:60]}`")
            self._form.fields.append((part.name, text))

    async def _finish(self, part: _Part, incoming: Incoming) -> None:
        try:
            upload = await incoming.finish(name=part.file_name or "", media=part.media)
        except TooLarge:
            if not self._keeps_going:
                raise
            self._form.too_large.append(part.name)
        else:
            self._form.files.append((part.name, upload))
        await self._leave_file()

    async def _end(self, _data: bytes) -> None:
        self._has_ended = True

    async def _leave_file(self) -> None:
        """Nothing is left of the file that is being read, unless it was finished."""
        incoming, self._part.incoming = self._part.incoming, None
        if incoming is not None:
            await incoming.__aexit__(None, None, None)

    def _check_token(self) -> None:
        """Problem 403 unless the form comes from here, where that has to be known."""
        if self._needs_token:
            given = [text for name, text in self._form.fields if name == FIELD]
            check_token(self._request, given[0] if given else "")
            self._needs_token = False


def plain_media(text: str) -> str | None:
    """Return the media type that a client states, if it says anything."""
    plain = text.partition(";")[0].strip().lower()[:200]
    is_nothing = plain in ("", "application/octet-stream", "application/x-www-form-urlencoded")
    return None if is_nothing else plain


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        headers = {"Accept-Post": "multipart/form-data"}
        raise Problem(415, "send `multipart/form-data`", headers=headers)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _BOUNDARY_BYTES:
        raise Problem(400, "the form has no boundary, or one that is too long")
    return boundary


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Problem(400, f"{what} is not UTF-8") from None
