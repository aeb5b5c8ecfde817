"""Files that inputs refer to by `{"href": …}`, fetched from hosts that the operator allows.

Each becomes an upload, under the same limits, before its request is checked. The address that was
checked is the one that is connected to, and no redirect is followed (`outbound`).
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import httpx

from stoker.errors import LimitReached, StokerError, Unavailable
from stoker.model.pipeline import ItemKind, ParamType, Pipeline
from stoker.project.jobs.uploads import NoRoom, TooLarge, Upload, Uploads
from stoker.project.jobs.validation import InputError
from stoker.spec.web import ITEM
from stoker.web import outbound
from stoker.web.caller import Caller
from stoker.web.site import Site
from stoker.web.uploads.limits import DOORKEEPER
from stoker.web.uploads.multipart import plain_media
from stoker.web.uploads.receiving import Incoming

MOST = 10  # of one request
_SHOWN = 200


class Fetching:
    """Fetches what requests of one caller to a pipeline refer to.

    As a context: unless it is left by `keep`, what was fetched is removed in the end.
    """

    def __init__(self, site: Site, caller: Caller, pipeline: Pipeline) -> None:
        self._site = site
        self._caller = caller
        self._pipeline = pipeline
        self._uploads: list[Upload] = []
        self._is_kept = False
        self._left = MOST
        self._until_s = asyncio.get_running_loop().time() + outbound.FETCH_S  # for all of them

    async def __aenter__(self) -> Self:
        """Nothing has been fetched."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """What is not kept is gone."""
        if not self._is_kept:
            for upload in self._uploads:
                with suppress(StokerError):
                    await self._site.call(Uploads(self._site.project).remove, upload.id)

    def keep(self) -> None:
        """Whatever was fetched belongs to a job now, and stays as long as any upload."""
        self._is_kept = True

    async def inputs(
        self, given: Mapping[str, Any]
    ) -> tuple[dict[str, Any], tuple[InputError, ...]]:
        """Return the inputs with uploads for what they refer to, and why some could not be fetched."""
        made, errors = dict(given), []
        for place, name, index, url in list(self._foreign(given)):
            try:
                upload = await self._fetch(url, given_media(given[name], index))
            except (LimitReached, Unavailable):
                raise
            except _Unfetched as why:
                errors.append(
                    InputError(
                        input=place,
                        rule="href",
                        value=url[:_SHOWN],
                        detail=f"input `{place}`: {why}",
                    )
                )
                continue
            if index is None:
                made[name] = upload.id
            else:
                made[name] = [
                    upload.id if at == index else one for at, one in enumerate(made[name])
                ]
        return made, tuple(errors)

    def _foreign(self, given: Mapping[str, Any]) -> Iterator[tuple[str, str, int | None, str]]:
        """Yield place, input, index and address of each reference that is not to something of ours."""
        names = {p.name for p in self._pipeline.params if ParamType.PATH in (p.type, p.items)}
        if self._pipeline.items is not ItemKind.RECORDS:
            names.add(ITEM)
        for name, value in given.items():
            if name not in names:
                continue
            many: Sequence[Any] = value if isinstance(value, list) else [value]
            for index, one in enumerate(many):
                url = one.get("href") if isinstance(one, dict) else None
                if isinstance(url, str) and self._is_foreign(url):
                    at = index if isinstance(value, list) else None
                    yield (name if at is None else f"{name}[{at}]"), name, at, url

    def _is_foreign(self, url: str) -> bool:
        return "://" in url and not url.startswith(self._site.links.base)

    async def _fetch(self, url: str, media: str | None) -> Upload:
        """Return the file at the address as an upload. _Unfetched says why there is none."""
        self._left -= 1
        if self._left < 0:
            raise _Unfetched(
                f"a request refers to at most {MOST} files elsewhere; upload the others"
            )
        try:
            with DOORKEEPER.admit(self._caller):
                async with asyncio.timeout_at(self._until_s):
                    upload = await self._received(url, media)
        except TooLarge as error:
            raise _Unfetched(str(error)) from None
        except NoRoom:
            raise
        except StokerError as error:
            raise _Unfetched(str(error)) from None
        except (TimeoutError, OSError, httpx.HTTPError, ValueError):
            raise _Unfetched(f"`{_host(url)}` did not answer as it should, or too slowly") from None
        self._uploads.append(upload)
        return upload

    async def _received(self, url: str, media: str | None) -> Upload:
        allowed = self._site.settings.web.outbound
        limit_bytes = self._pipeline.web.max_upload_bytes
        async with outbound.fetched(url, outbound=allowed) as answer:
            if answer.status_code != 200:
                raise _Unfetched(
                    f"`{_host(url)}` answered {answer.status_code}; redirects are not followed"
                )
            if answer.headers.get("content-encoding", "identity").lower() != "identity":
                raise _Unfetched(f"`{_host(url)}` sent it compressed, which was not asked for")
            stated = answer.headers.get("content-length", "")
            expected = int(stated[:18]) if stated.isascii() and stated.isdecimal() else 0
            media = media or plain_media(answer.headers.get("content-type", ""))
            async with Incoming(
                self._site, limit_bytes=limit_bytes, expected_bytes=expected
            ) as incoming:
                async for piece in answer.aiter_raw():
                    await incoming.write(piece)
                return await incoming.finish(name=_name(url), media=media)


class _Unfetched(Exception):
    """Why a file could not be fetched, for its client."""


def given_media(value: Any, index: int | None) -> str | None:
    """Return the media type that a reference states itself."""
    one = value if index is None else value[index]
    stated = one.get("type")
    return plain_media(stated) if isinstance(stated, str) else None


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "")[:100]


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2], errors="replace") or "file"
