"""Pilots of an outpost: jobs of its batch system that bring a worker to its spool.

They are kept in the spool alone, one file each, written before the job is submitted and found again by
the job's name. A pilot is over when its job was missing in two answers of the batch system that are far
enough apart by the clock of the store's side. What does not answer changes nothing.
"""

import os
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from secrets import token_hex
from typing import Any

from stoker.batch.kinds import system_of
from stoker.batch.script import read_end
from stoker.batch.system import Ask, Look, Phase, Refused, System, Unknown
from stoker.errors import Unavailable
from stoker.failpoints import hit
from stoker.model.batch import BatchSystem, Manners
from stoker.outpost import sealed
from stoker.outpost.launching import stoker_words
from stoker.outpost.luck import Luck
from stoker.outpost.sealed import Broken
from stoker.outpost.spool import Spool
from stoker.spec.revive import revive
from stoker.work.usage import host_cpus

SURPLUS_US = 60_000_000  # that a pilot may wait while there is nothing for it
MISSED_US = 60_000_000  # between two answers that both lack a job that is over
_FIRST = 2  # that may wait at the beginning; as many more as run


@dataclass(slots=True)
class Brought:
    """How the pilots stand: how many wait and run; why the batch system did not take or tell one."""

    waiting: int = 0
    running: int = 0
    submitted: int = 0
    trouble: str | None = None


class Pilots:
    """The pilots of one visit. `now_us` is the time of the store's side."""

    def __init__(
        self, spool: Spool, settings: BatchSystem, *, now_us: int, resumes: bool = False
    ) -> None:
        self._spool = spool
        self._settings = settings
        self._now_us = now_us
        self._system: System = system_of(settings, folder=spool.folder)
        self._live: dict[str, dict[str, Any]] = {}
        self._luck = Luck(spool, settings, resumes=resumes)

    def look(self, waiting: int) -> str | None:
        """Those that are over are gone; return why that could not be found out, if it could not."""
        self._live = _read_all(self._spool)
        if not self._live:
            return None
        try:
            found = self._system.look([one["name"] for one in self._live.values()])
        except Unavailable as error:
            return str(error)
        for uid, one in list(self._live.items()):
            self._judge(uid, one, found, waiting)
        return None

    def _judge(self, uid: str, one: dict[str, Any], found: Look, waiting: int) -> None:
        seen = [job for job in found.get(one["name"], ()) if job.phase is not Phase.OVER]
        passing = any(job.is_passing for job in found.get(one["name"], ()))
        if seen or passing:
            running = any(job.phase is Phase.RUNNING for job in seen)
            fresh = {"missed_us": None, "is_running": running}
            if waiting:
                fresh["surplus_us"] = None
            self._note(uid, one | fresh)
        elif one.get("missed_us") is None:
            self._note(uid, one | {"missed_us": self._now_us, "is_running": False})
        elif self._now_us - one["missed_us"] >= MISSED_US:
            if not one.get("cancelled"):
                has_run = os.path.lexists(self._spool.at("pilots", f"{uid}.ran"))
                words = read_end(self._spool.at("logs", f"pilot-{uid}.log"))
                self._luck.ended(words, has_worked=has_run)
            for kind in ("ran", "sh", "json"):
                with suppress(FileNotFoundError):
                    os.unlink(self._spool.at("pilots", f"{uid}.{kind}"))
            del self._live[uid]

    def _note(self, uid: str, one: dict[str, Any]) -> None:
        if one != self._live[uid]:
            sealed.write(self._spool.at("pilots", f"{uid}.json"), one)
            self._live[uid] = one

    def bring(self, waiting: int) -> Brought:
        """As many pilots are under way as `waiting` bundles want; doubled while they start."""
        done = Brought()
        for one in self._live.values():
            done.running += bool(one.get("is_running"))
            done.waiting += not one.get("is_running") and one.get("missed_us") is None
        settings = self._settings
        wanted = min(ceil(waiting / max(settings.cpus, 1)), _FIRST + done.running)
        done.trouble = self._luck.held_because
        most = 0 if done.trouble else settings.max_pilots - len(self._live)
        for _ in range(min(wanted - done.waiting, most)):
            done.trouble = self._submit()
            if done.trouble is not None:
                break
            done.submitted += 1
        done.waiting += done.submitted
        if not waiting:
            self._cancel_surplus()
        return done

    def _cancel_surplus(self) -> None:
        """Pilots that have waited long enough for nothing are ended; the next looks miss them."""
        cancelled = []
        for uid, one in list(self._live.items()):
            if one.get("is_running") or one.get("missed_us") is not None:
                continue
            since_us = one.get("surplus_us")
            if since_us is None:
                self._note(uid, one | {"surplus_us": self._now_us})
            elif self._now_us - since_us >= SURPLUS_US and one.get("job"):
                cancelled.append((str(one["name"]), str(one["job"])))
                self._note(uid, one | {"cancelled": True})
        with suppress(Unavailable):
            if cancelled:
                self._system.cancel(cancelled)

    def _submit(self) -> str | None:
        """One more is submitted; return why not, if that is known."""
        uid = token_hex(5)
        ask = self._ask_for(uid)
        own = {"name": ask.name, "cpus": ask.cpus, "memory_bytes": ask.memory_bytes}
        sealed.write(self._spool.at("pilots", f"{uid}.json"), own)
        self._write_script(ask)
        hit("outpost.pilot_intended")
        said = self._system.submit(ask)
        hit("outpost.pilot_submitted")
        if isinstance(said, Refused):
            with suppress(FileNotFoundError):
                os.unlink(self._spool.at("pilots", f"{uid}.json"))
            self._luck.refused(said.text)
            return f"{self._system.title} refused a pilot: {said.text}"
        if isinstance(said, Unknown):
            return (
                f"{self._system.title}: {said.text}"  # its name shows, later, whether it is there
            )
        sealed.write(self._spool.at("pilots", f"{uid}.json"), own | {"job": said.job})
        self._luck.taken()
        return None

    def _ask_for(self, uid: str) -> Ask:
        settings = self._settings
        return Ask(
            name=f"stoker-{self._spool.uid[:6]}-{uid}",
            uid=uid,
            script=self._spool.at("pilots", f"{uid}.sh"),
            log=self._spool.at("logs", f"pilot-{uid}.log"),
            cpus=settings.cpus,
            memory_bytes=settings.memory_bytes,
            gpus=settings.gpus,
            time_limit_s=int(settings.time_limit_s),
            options=settings.options,
        )

    def _write_script(self, ask: Ask) -> None:
        settings = self._settings
        start = [
            *stoker_words(), "outpost", "run", "--spool", self._spool.folder, "--pilot", ask.uid,
            "--time-limit", f"{int(settings.time_limit_s)}s",
            "--idle-timeout", f"{Manners().idle_s:.0f}s",
        ]  # fmt: skip
        prepare = f"set -e\n{settings.prepare.rstrip()}\nset +e\n" if settings.prepare else ""
        text = (
            f"#!/bin/bash\n# A pilot of Stoker, for [batch.{settings.name}] at an outpost.\n"
            f"cd / || exit 96\n{prepare}exec {shlex.join(start)}\n"
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(ask.script, flags, 0o700), "wb") as file:
            file.write(os.fsencode(text))
            os.fchmod(file.fileno(), stat.S_IRWXU)


def batch_of(raw: Any) -> BatchSystem | None:
    """Return the batch system that the near end speaks of; ValueError if that is none."""
    found: BatchSystem | None = None if raw is None else revive(BatchSystem, raw)
    return found


def is_known(spool: Spool, uid: object) -> bool:
    """Whether a pilot is not over, as far as any visit has found out."""
    is_name = isinstance(uid, str) and uid.isalnum()
    return is_name and os.path.lexists(spool.at("pilots", f"{uid}.json"))


def own_pilot(spool: Spool, uid: str) -> dict[str, Any] | None:
    """Return what a pilot asked for, with the name of its job; None if it is not wanted any more."""
    if not is_known(spool, uid):
        return None
    one: dict[str, Any] = {}
    with suppress(FileNotFoundError, Broken):
        one = dict(sealed.read(spool.at("pilots", f"{uid}.json")))
    cpus, memory_bytes = one.get("cpus"), one.get("memory_bytes")
    return {
        "batch_id": str(one.get("name", uid)),
        "cpus": cpus if isinstance(cpus, int) else host_cpus(),
        "memory_bytes": memory_bytes if isinstance(memory_bytes, int) else None,
    }


def _read_all(spool: Spool) -> dict[str, dict[str, Any]]:
    found = {}
    for name in os.listdir(spool.at("pilots")):
        uid, _, kind = name.partition(".")
        if kind != "json" or not uid.isalnum():
            continue
        with suppress(FileNotFoundError):
            try:
                one = sealed.read(spool.at("pilots", name))
                found[uid] = {"name": str(one["name"])} | dict(one)
            except (Broken, LookupError, TypeError, ValueError):
                spool.set_aside("pilots", name)
    return found
