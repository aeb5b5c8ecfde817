"""What `stoker.toml` says outside its pipelines: the store, the workers, the pools, the secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Named slots shared by all workers; `slots` are their names in order."""

    name: str
    slots: tuple[str, ...]
    kind: str | None = None  # "gpu" sets CUDA_VISIBLE_DEVICES


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Defaults for the workers of a project; `hosts` overrides them by glob on the host's name."""

    scratch: str | None = None  # None: a folder of the store's own, beside it
    hosts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The project outside its pipelines. `folder` is the absolute folder of `stoker.toml`."""

    name: str
    folder: str
    store_url: str
    store_password_file: str | None = None
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    pools: tuple[Pool, ...] = ()
    secrets: tuple[str, ...] = ()  # environment variables kept from steps that do not ask for them
