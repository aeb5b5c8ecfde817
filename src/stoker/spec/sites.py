"""`[sites.NAME]` tables, built into outposts, and what a step needs to be able to run at one."""

from __future__ import annotations

import os.path
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker.model.outpost import Outpost
from stoker.spec.batch import HOST
from stoker.spec.parts import files_used, inputs_used
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stoker.model.batch import BatchSystem
    from stoker.model.pipeline import Pipeline, Step
    from stoker.model.pool import Pool
    from stoker.model.settings import Settings
    from stoker.spec.locate import Path
    from stoker.spec.sites_keys import SiteTable
    from stoker.spec.validate import Findings


def build_sites(
    tables: Mapping[str, SiteTable],
    own: str | None,
    batch: Sequence[BatchSystem],
    findings: Findings,
) -> tuple[Outpost, ...]:
    """Return the outposts of the file, in its order; those with mistakes are left out."""
    found = []
    by_site: dict[str, BatchSystem] = {}
    for system in batch:
        if system.site is None:
            continue
        where: Path = ("batch", system.name, "site")
        if system.site not in tables:
            hint = suggest(system.site, tables) or "`[sites.NAME]` declares it"
            findings.add(where, f"there is no site `{system.site}`", hint)
        elif by_site.setdefault(system.site, system) is not system:
            findings.add(where, f"`{system.site}` has a batch system already", "take one out")
    for name, table in tables.items():
        place: Path = ("sites", name)
        before = len(findings.problems)
        _check(name, table, own, place, findings)
        if len(findings.problems) == before and not findings.has(place) and table.folder:
            found.append(
                Outpost(
                    name=name,
                    folder=os.path.normpath(table.folder),
                    ssh=table.ssh,
                    stoker=table.stoker,
                    every_s=table.every,
                    overdue_s=table.overdue,
                    batch=by_site.get(name),
                )
            )
    return tuple(found)


def _check(name: str, table: SiteTable, own: str | None, place: Path, findings: Findings) -> None:
    if name == own:
        message = f"`{name}` is what this site is called itself"
        findings.add(place, message, "give the two different names")
    wrong = findings.wrong_keys(place)
    if table.folder is None:
        if "folder" not in wrong:
            findings.add(place, f"`{name}` has no `folder`", 'write `folder = "/shared/stoker"`')
    elif not os.path.isabs(table.folder) or os.path.normpath(table.folder) == "/":
        findings.add(
            (*place, "folder"),
            f"`folder` is `{table.folder}`, which is not the absolute path of a folder",
            "write it as it is called there, from the first slash on",
        )
    if table.ssh is not None and not HOST.fullmatch(table.ssh):
        findings.add(
            (*place, "ssh"), f"`ssh` is `{table.ssh}`, which is not a host", "write it as for `ssh`"
        )
    if table.stoker is not None and (not table.stoker or table.stoker.startswith("-")):
        findings.add((*place, "stoker"), f"`stoker` is `{table.stoker}`, which is not a program")


def check_step_sites(pipeline: Pipeline, settings: Settings, findings: Findings) -> Pipeline:
    """Report the steps that cannot run where they say, or need what is not there.

    Return the pipeline; a step at this site itself is like one that says nothing.
    """
    if all(step.site is None for step in pipeline.steps):
        return pipeline
    steps = [
        replace(step, site=None) if step.site == settings.site else step for step in pipeline.steps
    ]
    broken = {where[1] for where, _ in findings.problems if where[:1] == ("sites",)}
    known = {one.name for one in settings.sites} | {str(name) for name in broken}
    pools = {pool.name: pool for pool in settings.pools}
    pipeline = replace(pipeline, steps=tuple(steps))
    for step in pipeline.steps:
        place: Path = ("pipelines", pipeline.name, "steps", step.name)
        for key, message, hint in _troubles(pipeline, step, known, pools):
            findings.add((*place, key) if key else place, message, hint)
    return pipeline


def _troubles(
    pipeline: Pipeline,
    step: Step,
    known: set[str],
    pools: Mapping[str, Pool],
) -> Iterator[tuple[str, str, str]]:
    site = step.site
    if site is not None and site not in known:
        hint = suggest(site, known) or "`[sites.NAME]` in the main file declares it"
        yield "site", f"there is no site `{site}`", hint
        return
    for name, output in inputs_used(step):
        before = next((one for one in pipeline.steps if one.name == name), None)
        is_known = before is not None and before.site in (None, *known)
        if before is not None and is_known and before.site != site:
            where = "here" if before.site is None else f"at `{before.site}`"
            message = (
                f"`{{in.{name}.{output}}}` is {where}, and step `{step.name}` does not run there"
            )
            hint = "bring it over by a step with `stoker transfer`, and use the values of that"
            yield "", message, hint
    if site is not None:
        yield from _lacks(pipeline, step, site)
        for name in step.pools:
            pool = pools.get(name)
            if pool is not None and (pool.is_per_host or pool.per_minute is not None):
                kind = "per host" if pool.is_per_host else "per minute"
                yield "pools", f"pool `{name}` counts {kind}, which nobody can at `{site}`", ""


def _lacks(pipeline: Pipeline, step: Step, site: str) -> Iterator[tuple[str, str, str]]:
    """Yield what the step needs and what does not reach another site."""
    if any(name == "item" for name in files_used(pipeline, step)):
        message = f"`{{item}}` is here, and step `{step.name}` runs at `{site}`"
        hint = "copy it there by a step with `stoker transfer`, and use the values of that"
        yield "", message, hint
    if step.secrets:
        yield "secrets", "secrets do not leave this site", "let a step here use them"
    if step.together is not None:
        yield "together", "`together` is for hosts here, and `site` says where it runs", ""
