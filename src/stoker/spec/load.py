"""`stoker.toml` and the files it includes, read into settings and pipelines."""

from __future__ import annotations

import glob
import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stoker.errors import NotFound, UserError
from stoker.model.shares import ShareBy, Shares
from stoker.spec.address import REFERENCE
from stoker.spec.locations import absolute_file
from stoker.spec.problems import Problem, as_error, sort_problems, suggest
from stoker.spec.project_file import files_matching
from stoker.spec.settings import settings_of
from stoker.spec.toml_file import TomlFile, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stoker.model.pipeline import Pipeline
    from stoker.model.settings import Settings
    from stoker.spec.schema import IncludedFile, ProjectFile
    from stoker.spec.validate import Findings


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


def load_project(file: Path) -> Loaded:
    """Return the project that `file` describes, with all files that it includes.

    SpecError carries every problem of every file if the main file has one. Problems of included
    files alone disable only the pipelines that they are about.
    """
    file = absolute_file(file)
    main = read_toml(file, file.name)
    if main.raw is None:
        raise as_error(file.name, [*_problems_of_included(main, file), *main.problems()])
    from stoker.spec.group_checks import check_groups
    from stoker.spec.notify import check_messages, secrets_of
    from stoker.spec.schema import ProjectFile
    from stoker.spec.validate import validate

    table = validate(main.raw, ProjectFile, main.findings)
    settings = settings_of(table, main, str(file.parent))
    shared = _Shared(_pool_sizes(table, main.raw), settings.all_secrets, str(file.parent), settings)
    pipelines = shared.build(table, main, str(file.parent))
    loading = _Including(shared, pipelines, dict.fromkeys(table.pipelines, file.stem))
    for pattern in table.include:
        loading.include(pattern, main, file)
    for name, problem in check_groups(pipelines, shared.places, loading.broken, main.findings):
        loading.disable(name, problem)
    settings = replace(
        settings,
        shares=_shares(table, main, loading),
        secrets=(
            *settings.secrets,
            *_secrets_of_feeds(pipelines),
            *secrets_of(settings.messages),
        ),
    )
    check_messages(settings.messages, pipelines, loading.files, main.findings)
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
                yield from REFERENCE.findall(source.feed.url)


def _problems_of_included(main: TomlFile, file: Path) -> list[Problem]:
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


class _Shared:
    """What all pipelines of a project are checked against."""

    def __init__(
        self,
        pools: Mapping[str, int | None] | None,
        secrets: tuple[str, ...] | None,
        project_folder: str,
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings
        self._pools = pools
        self._secrets = secrets
        self._project_folder = project_folder

        self.places: dict[str, Findings] = {}  # of each pipeline: where its problems go

    def build(self, table: IncludedFile, file: TomlFile, folder: str) -> dict[str, Pipeline]:
        """Return the pipelines of one file, their problems reported."""
        from stoker.spec.build import Builder
        from stoker.spec.check import check_pipeline
        from stoker.spec.sites import check_step_sites
        from stoker.spec.sources import check_sources

        raw = (file.raw or {}).get("pipelines", {})
        pipelines: dict[str, Pipeline] = {}
        for name, pipeline in table.pipelines.items():
            of_pipeline = raw[name] if isinstance(raw[name], dict) else {}
            up = os.path.relpath(self._project_folder, folder)
            builder = Builder(name, folder, of_pipeline, file.findings, up="" if up == "." else up)
            built = builder.build(pipeline)
            if self._settings is not None:
                built = check_step_sites(built, self._settings, file.findings)
            check_sources(built, self._project_folder, file.findings)
            check_pipeline(built, file.findings, pools=self._pools, secrets=self._secrets)
            if built.renamed_from in table.pipelines:
                place = ("pipelines", name, "renamed_from")
                message = (
                    f"`{name}` is renamed from `{built.renamed_from}`, which is still a pipeline"
                )
                file.findings.add(place, message, "take one of the two out")
            pipelines[name] = built
            self.places.setdefault(name, file.findings)
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

    def include(self, pattern: str, main: TomlFile, main_path: Path) -> None:
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
            file = read_toml(path, shown)
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

    def disable(self, name: str, problem: Problem) -> None:
        """The pipeline of an included file cannot be used."""
        self._pipelines.pop(name, None)
        self._break(name, [problem])

    def _break(self, name: str, problems: list[Problem]) -> None:
        self.broken.setdefault(name, []).extend(problems)
        self.problems.extend(problems)


def _pool_sizes(table: ProjectFile, raw: dict[str, Any]) -> dict[str, int | None]:
    written = raw.get("pools")
    sizes: dict[str, int | None] = dict.fromkeys(written if isinstance(written, dict) else ())
    for name, pool in table.pools.items():
        sizes[name] = None if pool.slots is None else len(pool.slots)
    return sizes


def _shares(table: ProjectFile, main: TomlFile, loading: _Including) -> Shares:
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
