"""Requests that the service makes on behalf of clients: only to where a client may send it.

The address that was checked is the address that is connected to, so that a name which resolves to
another one a moment later changes nothing. Redirects are never followed.
"""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, urlsplit

import httpx

from stoker.errors import Refused, UserError

CONNECT_S, WHOLE_S = 5.0, 20.0
FETCH_S = 60.0  # that a file may take: its client waits for it
ANSWER_BYTES = 64 << 10  # that are read of an answer
_MAPPED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 behind a gateway (RFC 6052)
_UNICAST = ipaddress.ip_network(
    "2000::/3"
)  # all of IPv6 that is public (RFC 4291); the rest means others

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Answered:
    """The status of an answer, and its header."""

    status: int
    headers: Mapping[str, str]


def check_url(url: object, outbound: Sequence[str]) -> str:
    """Return the address; UserError or Refused where the service would never call it.

    A name is resolved only when it is called.
    """
    parts = _parts(url)
    host = parts.hostname or ""
    if not _is_named(host, outbound):
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return str(url)
        _check_address(host, address)
    return str(url)


async def post(
    url: str, content: bytes, headers: Mapping[str, str], *, outbound: Sequence[str]
) -> Answered:
    """Return the answer to a POST; Refused for an address that is not public.

    OSError or httpx.HTTPError where there is no answer within 20 s.
    """
    async with (
        asyncio.timeout(WHOLE_S),
        _asked("POST", _parts(url), headers, outbound=outbound, content=content) as answer,
    ):
        seen = 0
        async for piece in answer.aiter_raw():
            seen += len(piece)
            if seen > ANSWER_BYTES:
                break
        return Answered(answer.status_code, answer.headers)


@asynccontextmanager
async def fetched(url: str, *, outbound: Sequence[str]) -> AsyncIterator[httpx.Response]:
    """In the block, there is the answer to a GET, whose body is read as it was sent.

    Refused for a host that `outbound` does not name. TimeoutError once it has taken `FETCH_S`.
    """
    parts = _parts(url)
    if not _is_named(parts.hostname or "", outbound):
        raise Refused(
            f"`{(parts.hostname or '')[:100]}` is not a host that `[web] outbound` names; upload "
            "the file instead"
        )
    headers = {"Accept-Encoding": "identity", "User-Agent": "stoker"}
    async with asyncio.timeout(FETCH_S), _asked("GET", parts, headers, outbound=outbound) as answer:
        yield answer


@asynccontextmanager
async def _asked(
    method: str,
    parts: SplitResult,
    headers: Mapping[str, str],
    *,
    outbound: Sequence[str],
    content: bytes | None = None,
) -> AsyncIterator[httpx.Response]:
    """In the block, there is the answer of the address that was checked."""
    address = await _resolve(parts, outbound)
    literal = f"[{address}]" if address.version == 6 else str(address)
    pinned = parts._replace(netloc=f"{literal}:{_port(parts)}", fragment="").geturl()
    async with (
        httpx.AsyncClient(
            timeout=httpx.Timeout(WHOLE_S, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
        ) as client,
        client.stream(
            method,
            pinned,
            content=content,
            headers={**headers, "Host": parts.netloc},
            extensions={"sni_hostname": parts.hostname},
        ) as answer,
    ):
        yield answer


def _parts(url: object) -> SplitResult:
    if not isinstance(url, str) or not url.isprintable() or " " in url or len(url) > 2000:
        raise UserError("an address is a text of at most 2,000 printable characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UserError(f"`{url[:100]}` is not an address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UserError(f"`{url[:100]}` has to begin with `https://` or `http://` and a host")
    if "@" in parts.netloc:
        raise UserError("an address has no user and no password; use a token in its query")
    try:
        host = _ascii(parts.hostname)
    except UnicodeError:
        raise UserError(f"`{parts.hostname[:100]}` is not the name of a host") from None
    literal = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=literal if port is None else f"{literal}:{port}")


def _ascii(host: str) -> str:
    """Return a host's name as name servers and headers have it; UnicodeError for what is none."""
    return host.encode("idna").decode("ascii")


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_named(host: str, outbound: Sequence[str]) -> bool:
    patterns = (pattern if pattern.isascii() else _ascii(pattern) for pattern in outbound)
    return any(fnmatchcase(host.lower().rstrip("."), pattern) for pattern in patterns)


async def _resolve(parts: SplitResult, outbound: Sequence[str]) -> Address:
    """Return the address to connect to; every address of the name must be one that may be called."""
    host = parts.hostname or ""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    if not addresses:
        raise OSError(f"`{host}` has no address")
    is_named = _is_named(host, outbound)
    for address in addresses:
        inner = _unwrapped(address)
        if inner.is_link_local or inner.is_multicast or inner.is_unspecified:
            raise Refused(f"`{host}` is {address}, which is never called")
        if not is_named:
            _check_address(host, address)
    return addresses[0]


def _check_address(host: str, address: Address) -> None:
    """Raise Refused unless the address is a public one, whatever it is wrapped in."""
    inner = _unwrapped(address)
    is_other = isinstance(inner, ipaddress.IPv6Address) and inner not in _UNICAST
    if not inner.is_global or inner.is_multicast or is_other:
        raise Refused(
            f"`{host}` is {address}, which is not a public address; `[web] outbound` names private "
            "hosts that may be called"
        )


def _unwrapped(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _MAPPED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
