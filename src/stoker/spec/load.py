"""`stoker.toml` and the files it includes, read into settings and pipelines."""

from __future__ import annotations

import glob
import re
import tomllib
import zoneinfo
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoker.errors import NotFound, UserError
from stoker.model.hours import Hours, parse_hours
from stoker.model.settings import HostSettings, Pool, Retention, Settings, WorkerSettings
from stoker.model.shares import ShareBy, Shares
from stoker.spec.address import BadAddress, store_url
from stoker.spec.locations import absolute, absolute_file
from stoker.spec.problems import Problem, as_error, sort_problems, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stoker.model.pipeline import Pipeline
    from stoker.spec.schema import HostTable, IncludedFile, PoolTable, ProjectFile, RetentionTable
    from stoker.spec.shapes import Table
    from stoker.spec.validate import Findings

FILE_NAME = "stoker.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A project as its files have it.

    `problems` are those of included files, each of which disabled only its own pipelines; `broken`
    has them by pipeline, or by file where the file as a whole is at fault.
    """

    settings: Settings
    pipelines: Mapping[str, Pipeline]
    problems: tuple[Problem, ...] = ()
    broken: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)


def find_project(start: Path) -> Path:
    """Return the `stoker.toml` in folder `start` or the nearest folder above; NotFound if none."""
    folder = absolute_file(start)
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate / FILE_NAME
    raise NotFound(
        f"there is no `{FILE_NAME}` in `{folder}` or above it; `stoker init` writes one, "
        "`--project` names another place"
    )


def load_project(file: Path) -> Loaded:
    """Return the project that `file` describes, with all files that it includes.

    SpecError carries every problem of every file if the main file has one. Problems of included
    files alone disable only the pipelines that they are about.
    """
    file = absolute_file(file)
    main = _read(file, file.name)
    if main.raw is None:
        raise as_error(file.name, [*_problems_of_included(main, file), *main.problems()])
    from stoker.spec.schema import ProjectFile
    from stoker.spec.validate import validate

    table = validate(main.raw, ProjectFile, main.findings)
    settings = _settings(table, main, str(file.parent))
    shared = _Shared(_pool_sizes(table, main.raw), settings.all_secrets, str(file.parent))
    pipelines = shared.build(table, main, str(file.parent))
    loading = _Including(shared, pipelines, dict.fromkeys(table.pipelines, file.stem))
    for pattern in table.include:
        loading.include(pattern, main, file)
    settings = replace(
        settings,
        shares=_shares(table, main, loading),
        secrets=(*settings.secrets, *_secrets_of_feeds(pipelines)),
    )
    if main.findings.problems:
        raise as_error(file.name, [*main.problems(), *loading.problems])
    return Loaded(
        settings=settings,
        pipelines=pipelines,
        problems=sort_problems(loading.problems),
        broken={name: sort_problems(found) for name, found in loading.broken.items()},
    )


def _secrets_of_feeds(pipelines: Mapping[str, Pipeline]) -> Iterator[str]:
    """Yield the variables that feeds are reached with."""
    for pipeline in pipelines.values():
        for source in pipeline.sources:
            if source.feed is not None:
                yield from _SECRET.findall(source.feed.url)


def _problems_of_included(main: _File, file: Path) -> list[Problem]:
    """Return the problems of what a main file that is no TOML includes; its pools are not known."""
    loading = _Including(_Shared(None, None, str(file.parent)), {}, {})
    head = re.split(r"^\s*\[", main.text, maxsplit=1, flags=re.MULTILINE)[0]
    try:
        patterns = tomllib.loads(head).get("include", [])
    except (RecursionError, ValueError):
        return []
    for pattern in patterns if isinstance(patterns, list) else []:
        loading.include(str(pattern), main, file)
    return loading.problems


def files_matching(pattern: str, folder: Path) -> list[str]:
    """Return what an entry of `include` matches, relative to the folder of the file that has it."""
    if "\0" in pattern:
        return []  # which is a problem of the file
    return sorted(glob.glob(pattern, root_dir=folder, recursive=True))


@dataclass(slots=True)
class _File:
    """A file that was read; `raw` is None where it is no TOML."""

    findings: Findings
    text: str = ""
    raw: dict[str, Any] | None = None

    def problems(self) -> list[Problem]:
        return [problem for _, problem in self.findings.problems]


def _read(path: Path, shown: str) -> _File:
    """Return the file at `path`, called `shown` in messages; NotFound, UserError if unreadable."""
    from stoker.spec.validate import Findings

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no `{path}`; `stoker init` writes one") from None
    except OSError as error:
        raise UserError(f"`{path}` cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        file = _File(Findings(shown, ""))
        problem = Problem(shown, line, 1, "the file is not UTF-8", "save it in that encoding")
        file.findings.problems.append(((), problem))
        return file
    file = _File(Findings(shown, text), text)
    try:
        file.raw = file.findings.raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        file.findings.problems.append(((), _toml_problem(shown, text, str(error))))
    return file


def _toml_problem(shown: str, text: str, complaint: str) -> Problem:
    found = re.search(r"\(at line (\d+), column (\d+)\)", complaint)
    line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 1)
    message = re.sub(r" \(at [^)]*\)$", "", complaint)
    return Problem(shown, line, column, f"this is no TOML: {message}")


class _Shared:
    """What all pipelines of a project are checked against."""

    def __init__(
        self,
        pools: Mapping[str, int | None] | None,
        secrets: tuple[str, ...] | None,
        project_folder: str,
    ) -> None:
        self._pools = pools
        self._secrets = secrets
        self._project_folder = project_folder

    def build(self, table: IncludedFile, file: _File, folder: str) -> dict[str, Pipeline]:
        """Return the pipelines of one file, their problems reported."""
        from stoker.spec.build import Builder
        from stoker.spec.check import check_pipeline
        from stoker.spec.sources import check_sources

        raw = (file.raw or {}).get("pipelines", {})
        pipelines: dict[str, Pipeline] = {}
        for name, pipeline in table.pipelines.items():
            of_pipeline = raw[name] if isinstance(raw[name], dict) else {}
            built = Builder(name, folder, of_pipeline, file.findings).build(pipeline)
            check_sources(built, self._project_folder, file.findings)
            check_pipeline(built, file.findings, pools=self._pools, secrets=self._secrets)
            if built.renamed_from in table.pipelines:
                place = ("pipelines", name, "renamed_from")
                message = (
                    f"`{name}` is renamed from `{built.renamed_from}`, which is still a pipeline"
                )
                file.findings.add(place, message, "take one of the two out")
            pipelines[name] = built
        return pipelines


class _Including:
    """Reads included files; adds their pipelines to those of the main file."""

    def __init__(
        self, shared: _Shared, pipelines: dict[str, Pipeline], files: dict[str, str]
    ) -> None:
        self.files = files  # of each pipeline, broken or not: its file without `.toml`
        self.problems: list[Problem] = []
        self.broken: dict[str, list[Problem]] = {}
        self._shared = shared
        self._pipelines = pipelines
        self._seen: set[str] = set()

    def include(self, pattern: str, main: _File, main_path: Path) -> None:
        """Read all files that `pattern` matches, relative to the main file."""
        folder = main_path.parent
        names = files_matching(pattern, folder)
        if not names and not glob.has_magic(pattern):
            main.findings.add(("include",), f"there is no file `{pattern}` to include")
        for name in names:
            path = absolute_file(folder / name)
            if str(path) in self._seen or path == main_path or not path.is_file():
                continue
            self._seen.add(str(path))
            self._read(path, name)

    def _read(self, path: Path, shown: str) -> None:
        from stoker.spec.schema import IncludedFile
        from stoker.spec.validate import validate

        try:
            file = _read(path, shown)
        except (NotFound, UserError) as error:
            self._break(shown, [Problem(shown, 1, 1, str(error))])
            return
        if file.raw is None:
            self._break(shown, file.problems())
            return
        table = validate(file.raw, IncludedFile, file.findings)
        built = self._shared.build(table, file, str(path.parent))
        for name in built:
            self.files.setdefault(name, shown.removesuffix(".toml"))
        of_file = [p for where, p in file.findings.problems if where[:1] != ("pipelines",)]
        if of_file:
            self._break(shown, of_file)
        for name, pipeline in built.items():
            place = ("pipelines", name)
            found = [p for where, p in file.findings.problems if where[:2] == place]
            if name in self._pipelines:
                message = f"pipeline `{name}` is in another file already"
                file.findings.add(place, message, "rename one of them")
                self._break(shown, [file.findings.problems[-1][1], *found])
            elif found or of_file:
                self._break(name, [*of_file, *found])
            else:
                self._pipelines[name] = pipeline
        of_all = [p for where, p in file.findings.problems if where == ("pipelines",)]
        if of_all:
            self._break(shown, of_all)

    def _break(self, name: str, problems: list[Problem]) -> None:
        self.broken.setdefault(name, []).extend(problems)
        self.problems.extend(problems)


def _pool_sizes(table: ProjectFile, raw: dict[str, Any]) -> dict[str, int | None]:
    written = raw.get("pools")
    sizes: dict[str, int | None] = dict.fromkeys(written if isinstance(written, dict) else ())
    for name, pool in table.pools.items():
        sizes[name] = None if pool.slots is None else len(pool.slots)
    return sizes


def _settings(table: ProjectFile, main: _File, folder: str) -> Settings:
    hosts = {
        pattern: HostSettings(**_host(host, folder)) for pattern, host in table.worker.hosts.items()
    }
    password = table.store.password_file
    return Settings(
        name=table.project.name or Path(folder).name or "project",
        folder=folder,
        store_url=_store_url(table.store.url, main, folder),
        store_password_file=None if password is None else absolute(password, folder),
        store_access=table.store.access,
        worker=WorkerSettings(**_host(table.worker, folder), hosts=hosts),
        pools=_pools(table, main),
        retention=_retention(table.retention),
        secrets=tuple(table.secrets.names),
        own_secrets=tuple(_SECRET.findall(table.store.url)),
    )


def _host(table: HostTable, folder: str) -> dict[str, Any]:
    """What the file says of workers, on all hosts or on some."""
    return {
        "scratch": None if table.scratch is None else absolute(table.scratch, folder),
        "tags": None if table.tags is None else tuple(dict.fromkeys(table.tags)),
        "cpus": table.cpus,
        "memory_bytes": table.memory,
    }


def _pools(table: ProjectFile, main: _File) -> tuple[Pool, ...]:
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


def _hours(pool: PoolTable, path: tuple[str, str], main: _File) -> Hours | None:
    if pool.zone is not None:
        if pool.between is None and not main.findings.has((*path, "between")):
            main.findings.add((*path, "zone"), "`zone` says nothing without `between`")
        try:
            zoneinfo.ZoneInfo(pool.zone)
        except (OSError, ValueError, KeyError):
            message = f"`zone` is `{pool.zone}`, which is no place with a clock"
            main.findings.add((*path, "zone"), message, 'write it as in `"Europe/Vienna"`')
            return None
    try:
        return None if pool.between is None else parse_hours(pool.between, pool.zone)
    except ValueError as error:
        main.findings.add((*path, "between"), str(error))
        return None


def _shares(table: ProjectFile, main: _File, loading: _Including) -> Shares:
    """How the slots are divided; a weight of a pipeline or file that is not there is a mistake."""
    by, weights = table.shares.by, dict(table.shares.weights)
    if by is None:
        if weights and not main.findings.has(("shares",)):
            hint = 'write `by = "user"`, `"pipeline"` or `"file"`'
            main.findings.add(("shares",), "`[shares]` does not say between whom", hint)
        return Shares()
    known = {"pipeline": set(loading.files), "file": set(loading.files.values())}.get(by)
    for name in weights:
        if known is not None and name not in known:
            message = f"`[shares]` gives a weight to `{name}`, which is no {by} of this project"
            main.findings.add(("shares", "weights", name), message, suggest(name, sorted(known)))
    files = loading.files if by == "file" else {}
    return Shares(by=ShareBy(by), weights=weights, files=files)


_SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # no step gets to see it


def _store_url(url: str, main: _File, folder: str) -> str:
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
