"""What a worker needs of `stoker.toml`: the store's address and what holds on its host.

Its pipelines, pools and shares come from the store, so a mistake in theirs here does not matter, and
they are not looked at. What is written plainly is read without pydantic, which takes a third as long
to load as everything else that a worker needs; anything else is left to the one full check.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from stoker.model.bounds import CPUS
from stoker.model.settings import HostSettings, Settings, WorkerSettings
from stoker.spec.address import REFERENCE, stated_by
from stoker.spec.locations import absolute, absolute_file
from stoker.spec.quantities import parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TABLES = ("project", "store", "worker")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class _Unusual(Exception):
    """Something needs the full check, whether it is a mistake or not."""


def worker_settings(file: Path) -> Settings:
    """Return the settings that a worker goes by; SpecError carries every problem of their tables.

    NotFound and UserError where the file cannot be read.
    """
    file = absolute_file(file)
    try:
        raw = tomllib.loads(file.read_bytes().decode("utf-8").replace("\r\n", "\n"))
        return _plainly({name: raw[name] for name in _TABLES if name in raw}, file)
    except (_Unusual, OSError, ValueError, RecursionError, TypeError, AttributeError):
        return _checked(file)


def _plainly(raw: Mapping[str, Any], file: Path) -> Settings:
    """Return the settings where each value is of the plain kind; _Unusual for anything else."""
    folder = str(file.parent)
    project = _known(raw.get("project", {}), "name", "site")
    worker = dict(raw.get("worker", {}))
    hosts = worker.pop("hosts", {})
    address = stated_by(raw.get("store", {}), folder)
    if address is None:
        raise _Unusual
    return Settings(
        name=_text(project.get("name", file.parent.name or "project")),
        folder=folder,
        site=None if "site" not in project else _text(project["site"]),
        store_url=_text(address.url),
        store_password_file=address.password_file,
        store_access=address.access,
        worker=WorkerSettings(
            **_host(worker, folder),
            hosts={name: HostSettings(**_host(host, folder)) for name, host in hosts.items()},
        ),
        own_secrets=tuple(REFERENCE.findall(address.url)),
    )


def _host(said: Mapping[str, Any], folder: str) -> dict[str, Any]:
    _known(said, "scratch", "tags", "cpus", "memory")
    cpus, tags, scratch = said.get("cpus"), said.get("tags"), said.get("scratch")
    if cpus is not None and (type(cpus) is not int or not CPUS.holds(cpus)):
        raise _Unusual
    if tags is not None and not all(_NAME.fullmatch(tag) for tag in _list(tags)):
        raise _Unusual
    return {
        "scratch": None if scratch is None else absolute(_text(scratch), folder),
        "tags": None if tags is None else tuple(dict.fromkeys(tags)),
        "cpus": cpus,
        "memory_bytes": parse_size(said["memory"]) if "memory" in said else None,
    }


def _known(table: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    if not table.keys() <= set(keys):
        raise _Unusual
    return table


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _Unusual
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _Unusual
    return value


def _checked(file: Path) -> Settings:
    from stoker.spec.problems import as_error
    from stoker.spec.schema import ProjectFile
    from stoker.spec.settings import settings_of
    from stoker.spec.toml_file import read_toml
    from stoker.spec.validate import validate

    main = read_toml(file, file.name)
    if main.raw is None:
        raise as_error(file.name, main.problems())
    own = {name: main.raw[name] for name in _TABLES if name in main.raw}
    settings = settings_of(validate(own, ProjectFile, main.findings), main, str(file.parent))
    if main.findings.problems:
        raise as_error(file.name, main.problems())
    return settings
