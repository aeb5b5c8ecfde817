"""Outposts: places where attempts of this store run and that have no store, as `stoker.toml` has them."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from stoker.model.batch import BatchSystem

EVERY_S = 60.0
OVERDUE_S = 6 * 3600.0
FILES_EVERY_S = 10.0  # where a visit costs no connection
_PREFIX = "outpost:"  # no host's name has a colon
_FARM = "batch."  # no site's name has a dot


@dataclass(frozen=True, slots=True, kw_only=True)
class Outpost:
    """One `[sites.NAME]` without a store of its own.

    `ssh` None: its folder is mounted here. `stoker` None: the program of this name on its PATH or,
    where it is mounted here, this one. `is_shared`: its nodes have the files of this site, and take any
    of its tasks; they reach its store by files.
    """

    name: str
    folder: str  # absolute, there
    ssh: str | None = None
    stoker: str | None = None
    every_s: float = EVERY_S
    overdue_s: float = OVERDUE_S
    batch: BatchSystem | None = None  # brings workers there; None: a visit starts one
    is_shared: bool = False

    @property
    def data(self) -> dict[str, Any]:
        """The same as plain JSON."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """What changes with anything that the file says of it."""
        return hashlib.sha256(json.dumps(self.data, sort_keys=True).encode()).hexdigest()


def host_of(outpost: str) -> str:
    """Return the name that stands in the store for all hosts of an outpost."""
    return _PREFIX + outpost


def farm_name(batch: str) -> str:
    """Return what the outpost of a `[batch.NAME]` is called whose nodes reach the store by files."""
    return _FARM + batch


def takes_any(host: str) -> bool:
    """Whether the name of a host stands for nodes that take any task of this site."""
    return host.startswith(_PREFIX + _FARM)


def is_outpost(host: str) -> bool:
    """Whether the name of a host stands for an outpost."""
    return host.startswith(_PREFIX)


def ran_on(host: str | None, node: str | None) -> str | None:
    """Return where an attempt ran, as people read it: its host, at an outpost `NODE (outpost:NAME)`."""
    return host if node is None else f"{node} ({host})"


def outpost_of(host: str) -> str:
    """Return the outpost for which the name of a host stands."""
    return host.removeprefix(_PREFIX)
