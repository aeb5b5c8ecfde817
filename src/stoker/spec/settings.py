"""The settings of a project, from the tables of `stoker.toml` that are no pipelines."""

from __future__ import annotations

import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoker.model.hours import Hours, parse_hours
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.settings import HostSettings, Settings, WorkerSettings
from stoker.spec.address import REFERENCE, BadAddress, store_url
from stoker.spec.locations import absolute
from stoker.spec.notify import build_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.model.batch import BatchSystem
    from stoker.model.outpost import Outpost
    from stoker.model.web import WebSettings
    from stoker.spec.schema import ProjectFile
    from stoker.spec.settings_keys import HostTable, PoolTable, RetentionTable
    from stoker.spec.shapes import Table
    from stoker.spec.toml_file import TomlFile


def settings_of(table: ProjectFile, main: TomlFile, folder: str) -> Settings:
    """Return the settings of a main file; what is wrong beyond its shape is reported in `main`."""
    hosts = {
        pattern: HostSettings(**_host(host, folder)) for pattern, host in table.worker.hosts.items()
    }
    password = table.store.password_file
    batch = _batch(table, main, folder)
    return Settings(
        name=table.project.name or Path(folder).name or "project",
        folder=folder,
        site=table.project.site,
        store_url=_store_url(table.store.url, main, folder),
        store_password_file=None if password is None else absolute(password, folder),
        store_access=table.store.access,
        worker=WorkerSettings(**_host(table.worker, folder), hosts=hosts),
        pools=_pools(table, main),
        batch=tuple(
            one for one in batch if one.site is None and table.batch[one.name].via == "database"
        ),
        farms=_farms(table, batch, folder),
        sites=_sites(table, main, batch),
        retention=_retention(table.retention),
        web=_web(table, main, folder),
        messages=build_messages(
            table.notify, table.addresses, table.mail, folder=folder, findings=main.findings
        ),
        secrets=tuple(table.secrets.names),
        own_secrets=tuple(REFERENCE.findall(table.store.url)),
    )


def _batch(table: ProjectFile, main: TomlFile, folder: str) -> tuple[BatchSystem, ...]:
    from stoker.spec.batch import build_batch

    return build_batch(table.batch, main.findings, folder)


def _farms(table: ProjectFile, batch: Sequence[BatchSystem], folder: str) -> tuple[Outpost, ...]:
    from stoker.spec.batch import farms_of

    return farms_of(table.batch, batch, folder)


def _sites(table: ProjectFile, main: TomlFile, batch: Sequence[BatchSystem]) -> tuple[Outpost, ...]:
    from stoker.spec.sites import build_sites

    return build_sites(table.sites, table.project.site, batch, main.findings)


def _web(table: ProjectFile, main: TomlFile, folder: str) -> WebSettings:
    from stoker.spec.web import build_web

    return build_web(table.web, folder, main.findings)


def _host(table: HostTable, folder: str) -> dict[str, Any]:
    """What the file says of workers, on all hosts or on some."""
    return {
        "scratch": None if table.scratch is None else absolute(table.scratch, folder),
        "tags": None if table.tags is None else tuple(dict.fromkeys(table.tags)),
        "cpus": table.cpus,
        "memory_bytes": table.memory,
    }


def _pools(table: ProjectFile, main: TomlFile) -> tuple[Pool, ...]:
    pools = []
    for name, pool in table.pools.items():
        path = ("pools", name)
        if pool.slots is None and not main.findings.has(path):
            main.findings.add(path, f"pool `{name}` has no `slots`", "write `slots = 1`")
        pools.append(
            Pool(
                name=name,
                slots=tuple(pool.slots or ()),
                is_per_host=pool.per == "host",
                kind=pool.kind,
                hours=_hours(pool, path, main),
                per_minute=pool.per_minute,
            )
        )
    return tuple(pools)


def _hours(pool: PoolTable, path: tuple[str, str], main: TomlFile) -> Hours | None:
    if pool.zone is not None:
        if pool.between is None and not main.findings.has((*path, "between")):
            main.findings.add((*path, "zone"), "`zone` says nothing without `between`")
        try:
            zoneinfo.ZoneInfo(pool.zone)
        except (OSError, ValueError, KeyError):
            message = f"`zone` is `{pool.zone}`, which is not a time zone"
            main.findings.add((*path, "zone"), message, 'write it as in `"Europe/Vienna"`')
            return None
    try:
        return None if pool.between is None else parse_hours(pool.between, pool.zone)
    except ValueError as error:
        main.findings.add((*path, "between"), str(error))
        return None


def _store_url(url: str, main: TomlFile, folder: str) -> str:
    """Return the URL with SQLite's file as an absolute path."""
    try:
        return store_url(url, folder)
    except BadAddress as error:
        main.findings.add(("store", "url"), error.message, error.hint)
        return url


def _retention(table: RetentionTable) -> Retention:
    def said(ages: Table) -> dict[str, float]:
        return {word: age for word, age in ages if age is not None}

    return Retention(
        items=said(table.items),
        attempts=said(table.attempts),
        logs=said(table.logs),
        journal=table.journal,
    )
