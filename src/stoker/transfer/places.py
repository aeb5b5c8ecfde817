"""Owns the question where a name leads: to a path here, or to one on a host that ssh reaches."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from stoker.errors import UserError
from stoker.model.outpost import Outpost

_HOST = re.compile(r"[A-Za-z0-9_.%+@:][A-Za-z0-9_.%+@:-]*")  # no blank, no leading dash


@dataclass(frozen=True, slots=True)
class Place:
    """A path: here, on a host, or at a site. `is_folder`: it ends with a slash, and the file goes into it.

    A site without a `host` has its folder mounted here.
    """

    host: str | None
    path: str
    site: str | None = None

    @property
    def is_far(self) -> bool:
        """Whether it has to be named with what comes before the colon."""
        return self.host is not None or self.site is not None

    @property
    def name(self) -> str:
        """What comes before the colon: a site, or a host."""
        return self.site or self.host or ""

    @property
    def is_folder(self) -> bool:
        """Whether the path names a folder."""
        return self.path.endswith("/")

    @property
    def shown(self) -> str:
        """What a person calls it."""
        return f"{self.name}:{self.path}" if self.is_far else self.path

    def inside(self, name: str) -> "Place":
        """Return the place of a file of that name, if this is a folder; else itself."""
        return replace(self, path=self.path + name) if self.is_folder else self

    def below(self, name: str) -> "Place":
        """Return the place of that name in this folder."""
        return replace(self, path=os.path.join(self.path, name))


_NO_SITES: Mapping[str, Outpost] = MappingProxyType({})


def parse_place(text: str, sites: Mapping[str, Outpost] = _NO_SITES) -> Place:
    """Return the place that a word of the command line names.

    As with scp, a colon before the first slash ends the name of a host; `./a:b` is a file here. The
    name of a site goes before that of a host; relative paths there are in its folder.
    UserError for a name of a host that ssh would take for an option, or no path.
    """
    if text.startswith("[") and "]:" in text:
        host, _, path = text[1:].partition("]:")
    else:
        host, colon, path = text.partition(":")
        if not colon or "/" in host:
            if not text:
                raise UserError("a path is empty")
            return Place(None, text)
    if not _HOST.fullmatch(host):
        raise UserError(f"`{host}` is not the name of a host; write a file here as `./{text}`")
    if not path:
        raise UserError(f"`{text}` has no path; write `{host}:PATH`")
    if "\0" in path:
        raise UserError("a path has a NUL byte")
    site = sites.get(host)
    if site is None:
        return Place(host, path)
    is_own = path.startswith(("/", "~/"))
    return Place(site.ssh, path if is_own else os.path.join(site.folder, path), host)


def names_a_host(text: str) -> bool:
    """Whether a word of the command line names a site or a host."""
    return ":" in text.partition("/")[0]


def absolute(path: str) -> str:
    """Return a path here that begins with a slash; the name at its end stays as it is."""
    return os.path.join(os.path.abspath(os.path.dirname(path) or "."), os.path.basename(path))
