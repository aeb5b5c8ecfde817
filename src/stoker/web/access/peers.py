"""The address of a client: of the peer that is connected, or what a trusted proxy says."""

import functools
import ipaddress
from collections.abc import Sequence

from starlette.requests import Request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_V6_PREFIX = 64  # what one customer has: an address of it is worth nothing alone


@functools.lru_cache(maxsize=16)
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Return the networks that these texts are."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    """Whether the address is one of those that are believed."""
    found = _parsed(address)
    return found is not None and any(found in network for network in networks(trusted))


def client_address(request: Request, trusted: tuple[str, ...]) -> str:
    """Return the address of the client, past all trusted proxies; empty where nobody knows it.

    A proxy adds the address that it saw to the end of `X-Forwarded-For`; what stands before that is
    the client's own word, which nobody believes.
    """
    peer = request.client.host if request.client else ""
    if not is_trusted(peer, trusted):
        return normal(peer)
    for hop in reversed(_hops(request.headers.getlist("x-forwarded-for"))):
        if _parsed(hop) is None:
            break
        peer = hop
        if not is_trusted(hop, trusted):
            break
    return normal(peer)


@functools.lru_cache(maxsize=4096)
def normal(address: str) -> str:
    """Return the address as limits count it: an IPv6 address by its network."""
    found = _parsed(address)
    if found is None:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _V6_PREFIX), strict=False).network_address)
    return str(found)


def _hops(values: Sequence[str]) -> list[str]:
    hops = [hop.strip() for value in values for hop in value.split(",")]
    return [_without_port(hop) for hop in hops]


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@functools.lru_cache(maxsize=4096)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped if mapped is not None else found
