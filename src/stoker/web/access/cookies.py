"""The cookies of the service: they hold random secrets, and nothing else."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.site import Site


class Cookies:
    """The names and the attributes of cookies at the address that users see.

    Under TLS a prefix of the name keeps other hosts of the domain from setting it. Without, the port
    is part of the name: browsers give the cookies of one port to all others of the host.
    """

    def __init__(self, site: Site) -> None:
        parts = urlsplit(site.links.base)
        self.path = parts.path
        self.is_secure = parts.scheme == "https"
        prefix = ("__Host-" if self.path == "/" else "__Secure-") if self.is_secure else ""
        suffix = "" if self.is_secure else f"-{parts.port or 80}"
        self.session = f"{prefix}stoker{suffix}"
        self.form = f"{prefix}stoker-form{suffix}"

    def get(self, request: Request, name: str) -> str | None:
        """Return what the browser sent under that name; None where it sent nothing."""
        return request.cookies.get(name)

    def set(self, response: Response, name: str, value: str) -> None:
        """The browser keeps the value until it is closed, or longer as it sees fit."""
        response.set_cookie(
            name, value, path=self.path, secure=self.is_secure, httponly=True, samesite="lax"
        )

    def delete(self, response: Response, name: str) -> None:
        """The browser forgets it."""
        response.delete_cookie(
            name, path=self.path, secure=self.is_secure, httponly=True, samesite="lax"
        )
