"""The socket that the web service listens on, and the address under which it is reached."""

import ipaddress
import socket
from dataclasses import dataclass

from stoker.errors import Refused, UserError

_WAITING = 2048  # connections that the kernel keeps until the service takes them


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that listens, and its address as a URL with a slash at its end."""

    socket: socket.socket
    url: str

    def close(self) -> None:
        """Nobody can connect any more."""
        self.socket.close()


def listen(host: str, port: int, *, is_guarded: bool) -> Listening:
    """Return a socket that listens at `host` and `port`; port 0 takes a free one.

    UserError where the address cannot be used. Refused for an address beyond loopback unless the
    service `is_guarded`: it has users, so that somebody can sign in and strangers cannot.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"`--host {host}` is not an address of this host: {getattr(error, 'strerror', error)}"
        ) from None
    family, _, _, _, address = found[0]
    if not is_guarded and not is_loopback(str(address[0])):
        raise Refused(
            f"`--host {host}` would open this project to the network, and it has no users yet; "
            "make one with `stoker user create NAME --role admin`, or listen on 127.0.0.1"
        )
    try:
        listener = socket.create_server(address, family=family, backlog=_WAITING)
    except OSError as error:
        raise UserError(
            f"the web service cannot listen at `{host}` port {port}: {error.strerror}; "
            "`--port 0` takes a free port, and `--no-web` goes on without the service"
        ) from None
    return Listening(listener, _url(listener, host))


def is_loopback(address: str) -> bool:
    """Whether only this host can reach the address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _url(listener: socket.socket, host: str) -> str:
    port = listener.getsockname()[1]
    if ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
