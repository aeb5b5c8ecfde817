"""`[batch.NAME]` tables, built into batch systems; mistakes are reported where they stand."""

from __future__ import annotations

import os.path
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker.model.batch import BUILT_IN, BY_COMMANDS, RECIPES, VERBS, BatchSystem
from stoker.model.outpost import FILES_EVERY_S, Outpost, farm_name
from stoker.spec.locations import absolute
from stoker.spec.problems import name_all, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stoker.spec.batch_keys import BatchTable
    from stoker.spec.locate import Path
    from stoker.spec.validate import Findings

HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%-]{0,252}")

# What Stoker sets itself, by system: words of options, and what to write instead.
_SLURM = {
    "time": ("-t", "--time", "--time-min"),
    "name": ("-J", "--job-name"),
    "output": ("-o", "--output", "-e", "--error", "--open-mode"),
    "array": ("-a", "--array"),
    "requeue": ("--requeue", "--no-requeue"),
    "number of cpus": ("-c", "--cpus-per-task", "-n", "--ntasks", "-N", "--nodes"),
    "way of answering": ("--parsable", "-W", "--wait", "--wrap", "--test-only", "-Q", "--quiet"),
    "environment": ("--export", "--propagate"),
}
_GRID_ENGINE = {
    "name": ("-N",),
    "output": ("-o", "-e", "-j"),
    "array": ("-t", "-tc"),
    "requeue": ("-r",),
    "shell": ("-S", "-b", "-shell"),
    "way of answering": ("-terse", "-sync", "-now", "-verify", "-w"),
    "environment": ("-V",),
}
_OURS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "slurm": _SLURM,
    "gridengine": _GRID_ENGINE,
    BY_COMMANDS: {},
}
_TWO_IN_ONE = re.compile(r"^--?[\w-]+\s|\s--[a-z]")
_INSTEAD = {"time": "set `time_limit`", "number of cpus": "set `cpus`"}


def build_batch(
    tables: Mapping[str, BatchTable], findings: Findings, folder: str
) -> tuple[BatchSystem, ...]:
    """Return the batch systems of the file, in its order; those with mistakes are left out."""
    found = []
    for name, table in tables.items():
        place: Path = ("batch", name)
        before = len(findings.problems)
        _check(table, place, findings)
        if len(findings.problems) == before and not findings.has(place):
            found.append(_built(name, table, folder))
    return tuple(found)


def farms_of(
    tables: Mapping[str, BatchTable], batch: Sequence[BatchSystem], folder: str
) -> tuple[Outpost, ...]:
    """Return the batch systems, as outposts, whose nodes have this site's files but not its database."""
    return tuple(
        Outpost(
            name=farm_name(one.name),
            folder=os.path.join(folder, ".stoker", "batch", one.name),
            ssh=one.ssh,
            every_s=FILES_EVERY_S,
            batch=replace(one, ssh=None),
            is_shared=True,
        )
        for one in batch
        if one.site is None and tables[one.name].via == "files"
    )


def _built(name: str, table: BatchTable, folder: str) -> BatchSystem:
    commands = table.commands
    return BatchSystem(
        name=name,
        system=table.system or BY_COMMANDS,
        time_limit_s=table.time_limit or 0.0,
        cpus=table.cpus,
        memory_bytes=table.memory,
        gpus=table.gpus,
        max_pilots=table.max_pilots,
        options=tuple(table.options),
        prepare=table.prepare,
        tags=None if table.tags is None else tuple(dict.fromkeys(table.tags)),
        ssh=table.ssh,
        site=table.site,
        commands={}
        if commands is None
        else {verb: _command(getattr(commands, verb) or (), folder) for verb in VERBS},
    )


def _command(words: Sequence[str], folder: str) -> tuple[str, ...]:
    """Return a command whose program is a path as an absolute one; a bare name is found on PATH."""
    program, *rest = words
    return (absolute(program, folder) if "/" in program else program, *rest)


def _check(table: BatchTable, place: Path, findings: Findings) -> None:
    wrong = findings.wrong_keys(place)
    _check_system(table, place, findings)
    if table.time_limit is None and "time_limit" not in wrong:
        findings.add(
            place, f"`{place[1]}` has no `time_limit`", 'write how long a pilot lives, as `"4h"`'
        )
    if table.site is not None and table.ssh is not None:
        message = f"`{place[1]}` has `site` and `ssh`; the site's own `ssh` leads there"
        findings.add((*place, "ssh"), message, "leave `ssh` out")
    if table.via == "web":
        message = '`via = "web"` is reserved for a later release'
        findings.add((*place, "via"), message, 'write `"files"` if the nodes see this folder')
    elif table.via not in ("database", "files"):
        message = f'`via` is `"{table.via}"`, and should be `"database"` or `"files"`'
        findings.add((*place, "via"), message, suggest(table.via, ("database", "files")))
    if table.ssh is not None and not HOST.fullmatch(table.ssh):
        findings.add(
            (*place, "ssh"), f"`ssh` is `{table.ssh}`, which is not a host", "write it as for `ssh`"
        )
    for at, message, hint in _bad_options(table):
        findings.add((*place, "options", at), message, hint)
    _check_slots(table, place, findings)


def _check_system(table: BatchTable, place: Path, findings: Findings) -> None:
    system, commands = table.system, table.commands
    if commands is not None:
        if system is not None:
            findings.add((*place, "system"), "give either `system` or `commands`")
        missing = [verb for verb in VERBS if not getattr(commands, verb)]
        if missing and not findings.has((*place, "commands")):
            message = f"`commands` has no {name_all(missing)}"
            findings.add((*place, "commands"), message, "give all of `submit`, `status`, `cancel`")
        return
    if system is None:
        if not findings.has((*place, "system")) and not findings.has((*place, "commands")):
            message = f"`{place[1]}` says neither `system` nor `commands`"
            findings.add(place, message, 'write `system = "slurm"`')
        return
    if system in BUILT_IN:
        return
    if system in RECIPES:
        message = f"`{system}` is not built in"
        hint = f"use `commands` with the scripts of `examples/batch-commands/{system}`"
        findings.add((*place, "system"), message, hint)
        return
    hint = suggest(system, (*BUILT_IN, *RECIPES)) or "any other works by `commands`"
    findings.add((*place, "system"), f"`{system}` is not a batch system that is known", hint)


def _bad_options(table: BatchTable) -> Iterator[tuple[int, str, str]]:
    """Yield position, message and hint for options that Stoker sets itself."""
    own = _OURS.get(table.system or BY_COMMANDS, {})
    for at, word in enumerate(table.options):
        for what, names in own.items():
            is_it = _is_of_slurm if table.system == "slurm" else _is
            if any(is_it(word, name) for name in names):
                hint = _INSTEAD.get(what, "take it out")
                yield at, f"`{word}` is Stoker's to set: it gives each pilot its {what}", hint
    if table.system == "gridengine":
        yield from _limits_of_grid_engine(table)
    if table.system == "slurm":
        yield from _wrong_for_slurm(table)


def _wrong_for_slurm(table: BatchTable) -> Iterator[tuple[int, str, str]]:
    for at, word in enumerate(table.options):
        if table.memory is not None and word.partition("=")[0] in ("--mem", "--mem-per-cpu"):
            yield at, f"`{word}` and `memory` say the same thing", "take one of the two out"
        if any(_is_of_slurm(word, name) for name in ("-M", "--clusters", "--cluster")):
            message = f"`{word}` leads to another cluster, and Stoker asks only that of one host"
            yield at, message, "set `ssh` to a login node of that cluster"
        if _TWO_IN_ONE.search(word):
            message = f"`{word}` is one word of `sbatch`, and looks like several"
            yield at, message, 'write each word as one of the list: `"--partition=main"`'


def _limits_of_grid_engine(table: BatchTable) -> Iterator[tuple[int, str, str]]:
    for at, word in enumerate(table.options):
        if at and table.options[at - 1] == "-l":
            for limit in word.split(","):
                if limit.partition("=")[0] in ("h_rt", "s_rt"):
                    message = f"`{limit}` is Stoker's to set: it gives each pilot its time"
                    yield at, message, "set `time_limit`"


def _is(word: str, name: str) -> bool:
    """Whether the word is the option of that name, and nothing else."""
    return word == name


def _is_of_slurm(word: str, name: str) -> bool:
    """Whether `sbatch` takes the word for the option of that name, also as `-t5`, `--tim=5`."""
    if not name.startswith("--"):
        return word[:2] == name
    option = word.partition("=")[0]
    return option == name or (len(option) > 4 and name.startswith(option))


def _check_slots(table: BatchTable, place: Path, findings: Findings) -> None:
    """Of Grid Engine: several cpus need a parallel environment, whose name is the site's."""
    if table.system != "gridengine":
        return
    options = table.options
    at = options.index("-pe") if "-pe" in options else None
    if at is None:
        if table.cpus > 1:
            message = f"`cpus = {table.cpus}` needs a parallel environment of Grid Engine"
            hint = f'add `"-pe", "NAME", "{table.cpus}"` to `options`; `qconf -spl` lists the names'
            findings.add((*place, "cpus"), message, hint)
        return
    words = options[at + 1 : at + 3]
    if len(words) < 2 or words[1] != str(table.cpus):
        slots = words[1] if len(words) > 1 else "nothing"
        message = f"`-pe` asks for {slots}, and `cpus` is {table.cpus}"
        findings.add((*place, "options", at), message, "give both the same number")
