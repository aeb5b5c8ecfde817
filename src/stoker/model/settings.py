"""What `stoker.toml` says outside its pipelines: the store, the workers, the pools, the secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase

from stoker.model.batch import BatchSystem
from stoker.model.notify import Messages
from stoker.model.outpost import Outpost
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.shares import Shares
from stoker.model.web import WebSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What holds for the workers on a host; None: nothing is said of it."""

    scratch: str | None = None  # absolute; otherwise a folder of the store's own, beside it
    tags: tuple[str, ...] | None = None
    cpus: int | None = None  # that attempts may use; otherwise all that the host lets us
    memory_bytes: int | None = None

    def but(self, own: "HostSettings") -> "HostSettings":
        """Return the same with what `own` says instead, where it says something."""
        said = {one.name: getattr(own, one.name) for one in fields(HostSettings)}
        return replace(self, **{name: one for name, one in said.items() if one is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings(HostSettings):
    """Defaults for the workers of a project; `hosts` overrides them by glob on the host's name."""

    hosts: Mapping[str, HostSettings] = field(default_factory=dict)

    def on(self, host: str) -> HostSettings:
        """Return what holds on the host: of each key the last that matches it and says something."""
        general = HostSettings(
            **{one.name: getattr(self, one.name) for one in fields(HostSettings)}
        )
        return general.but(self.named(host))

    def named(self, host: str) -> HostSettings:
        """Return what the file says of hosts with such a name only."""
        found = HostSettings()
        for pattern, own in self.hosts.items():
            if fnmatchcase(host, pattern):
                found = found.but(own)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The project outside its pipelines. `folder` is the absolute folder of `stoker.toml`."""

    name: str
    folder: str
    store_url: str
    store_password_file: str | None = None
    site: str | None = None  # what the store's own site is called; None: as it is
    store_access: str = "private"  # or `group`: who may read and write what is in `.stoker`
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    pools: tuple[Pool, ...] = ()
    batch: tuple[BatchSystem, ...] = ()  # in the order of the file
    sites: tuple[Outpost, ...] = ()  # in the order of the file
    farms: tuple[Outpost, ...] = ()  # batch systems whose nodes reach the store by files
    shares: Shares = field(default_factory=Shares)
    retention: Retention = field(default_factory=Retention)
    web: WebSettings = field(default_factory=WebSettings)
    messages: Messages = field(default_factory=Messages)
    secrets: tuple[str, ...] = ()  # environment variables kept from steps that do not ask for them
    own_secrets: tuple[str, ...] = ()  # those in the store's address, which may differ by host

    @property
    def all_secrets(self) -> tuple[str, ...]:
        """Return the names of all secrets that this file knows of."""
        return (*self.secrets, *self.own_secrets)
