"""The names under which browsers ask for the service.

A page of anywhere can let its own name point to an address that only its reader reaches. The browser
takes the service for a part of that page then, and the page reads whatever the service shows to
strangers. The name stays in `Host`, and is none of ours.
"""

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.requests import Request

from stoker.web.site import Site


def is_own_name(request: Request, site: Site) -> bool:
    """Whether the request names this service: by an address, this machine's name, or that of `url`."""
    name = _host_of(f"//{request.headers.get('host', '')}")
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True  # no name that could point elsewhere
    own = (_host_of(site.links.base), _host_of(site.address), "localhost")
    return (
        name in own or name.endswith(".localhost") or _first(name) == _first(socket.gethostname())
    )


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _first(name: str) -> str:
    return name.partition(".")[0].lower()
