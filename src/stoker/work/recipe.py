"""Owns what a worker keeps of a step: compiled once a version, then used for every attempt.

What attempts of one step share (most of the environment, often the whole command) is encoded for
the kernel once.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stoker.model.pipeline import Pipeline, Python
from stoker.model.task import Claimed
from stoker.model.words import shown
from stoker.spec.condition import Condition
from stoker.spec.environment import attempt_env, base_environment
from stoker.spec.parts import files_used, inputs_used
from stoker.spec.template import compile_step
from stoker.spec.values import Context
from stoker.work.contain import MARK
from stoker.work.slot import Seat
from stoker.work.spawn import encode_env

_NOTHING: Mapping[str, str] = {}
_ITS_OWN = ("STOKER_ATTEMPT", "STOKER_ITEM", "STOKER_KEY")


class WarmKey(NamedTuple):
    """What tasks must have in common to be served by one process."""

    version_id: int
    folder: str  # of the pipeline: first on `sys.path`
    interpreter: str
    prepare: str | None
    secrets: tuple[str, ...]  # which its environment does not have


class Recipe:
    """A step of one version on the terms of the store, ready to be carried out by this worker.

    `prepared` is the environment after the step's `prepare`; the worker sets it before the first
    attempt, and `broken` instead when `prepare` failed.
    """

    def __init__(
        self, pipeline: Pipeline, first: Claimed, own_secrets: Sequence[str], mark: str
    ) -> None:
        step = pipeline.step(first.step)
        self.pipeline = pipeline
        self.version = first.version_id
        self.step = step
        self.plan = compile_step(pipeline, step)
        self.condition = None if step.when is None else Condition(step.when)
        self._files = files_used(pipeline, step)
        self._inputs = inputs_used(step)
        self.is_python = isinstance(step.action, Python)
        self.key = (first.version_id, step.name)
        self.prepared: Mapping[str, str] | None = None if step.prepare else os.environ
        self.broken: str | None = None
        self._secrets = tuple(sorted({*first.terms.secrets, *own_secrets}))
        self._gpu_pools = first.terms.devices
        self._mark = mark
        self._shared: dict[str, str] | None = None
        self._encoded: list[bytes] = []
        self._argv: list[bytes] | None = None
        self._kept: dict[tuple[str, int, int | None], list[bytes]] = {}
        self._shown = ""

    def missing_file(self, claimed: Claimed) -> str | None:
        """Return a file of the item that the command names and that is not there; None if none is."""
        for name in self._files:
            path = claimed.path if name == "item" else claimed.meta.get(name.removeprefix("meta."))
            if isinstance(path, str) and not os.path.lexists(path):
                return path
        return None

    def missing_input(self, claimed: Claimed) -> tuple[str, str, str] | None:
        """Return a published output that the command names and that is not there: step, name, path."""
        for step, name in self._inputs:
            left = claimed.produced.get(step)
            for path in left.outputs.get(name, ()) if left is not None else ():
                if not os.path.lexists(path):
                    return step, name, path
        return None

    @property
    def shared(self) -> dict[str, str]:
        """The environment that all attempts share: the worker's, less secrets and less our own."""
        if self._shared is None:
            hidden = set(self._secrets) - set(self.step.secrets)
            hidden |= self.step.env.keys()
            base = os.environ if self.prepared is None else self.prepared
            shared = {
                name: value for name, value in base_environment(base).items() if name not in hidden
            }
            shared.update(self._own_secrets)
            shared[MARK] = self._mark
            self._shared = shared
            self._encoded = encode_env(shared)
        return self._shared

    @property
    def _own_secrets(self) -> dict[str, str]:
        """The secrets that the step gets: as `prepare` left them, else as the worker has them."""
        prepared = self.prepared or {}
        found = {name: prepared.get(name, os.environ.get(name)) for name in self.step.secrets}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def prepare_environment(self) -> dict[str, str]:
        """The environment in which `prepare` runs: it belongs to the step, and gets its secrets."""
        return {**self.warm_environment, **self._own_secrets}

    @property
    def path(self) -> bytes:
        """The PATH on which the step's program is looked up."""
        return os.fsencode(self.step.env.get("PATH") or self.shared.get("PATH", os.defpath))

    def _own_environment(
        self, claimed: Claimed, seat: Seat, extra: Mapping[str, str]
    ) -> dict[str, str]:
        """Return what only this attempt's environment has."""
        return attempt_env(
            claimed,
            scratch=seat.scratch,
            base=_NOTHING,
            secrets=(),
            step=self.step,
            values_file=seat.values,
            reason_file=seat.reason,
            extra=extra,
            gpu_pools=self._gpu_pools,
        )

    def command(self, claimed: Claimed, seat: Seat, made: Mapping[str, str]) -> "Start":
        """Return what to start for this attempt. UserError where a value cannot be given."""
        self.shared  # noqa: B018 - encodes what all attempts share, once
        context = Context(claimed=claimed, scratch=seat.scratch, out=made)
        command = self.plan.command(context)
        if self._argv is not None:
            argv, text = self._argv, self._shown
        else:
            argv = [os.fsencode(word) for word in command.argv]
            text = shown(shlex.join(command.argv))
            if self.plan.is_constant:
                self._argv, self._shown = argv, text
        return Start(argv, self._encode_environment(claimed, seat, command.env), text)

    def _encode_environment(
        self, claimed: Claimed, seat: Seat, extra: Mapping[str, str]
    ) -> list[bytes]:
        """Return the whole environment of an attempt, encoded.

        For an item without parameters and slots it differs from that of the attempt before it, in
        the same seat, in nothing but `_ITS_OWN`; the rest is kept.
        """
        if claimed.params or claimed.slots or extra:
            return self._encoded + encode_env(self._own_environment(claimed, seat, extra))
        place = (seat.folder, claimed.cpus, claimed.memory_bytes)
        kept = self._kept.get(place)
        if kept is None:
            own = self._own_environment(claimed, seat, extra)
            for name in _ITS_OWN:
                del own[name]
            kept = self._kept[place] = self._encoded + encode_env(own)
        name = claimed.attempt.hex()
        attempt = f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
        item = "" if claimed.path is None else claimed.path
        return [*kept, *encode_env(dict(zip(_ITS_OWN, (attempt, item, claimed.key), strict=True)))]

    @property
    def warm_environment(self) -> dict[str, str]:
        """The environment of a warm process: it serves several steps, so it has no secrets."""
        base = os.environ if self.prepared is None else self.prepared
        hidden = set(self._secrets)
        shared = {
            name: value for name, value in base_environment(base).items() if name not in hidden
        }
        return {**shared, MARK: self._mark}

    def call_environment(
        self, claimed: Claimed, seat: Seat, made: Mapping[str, str]
    ) -> dict[str, str]:
        """Return what a warm process must set for this attempt, on top of its own environment."""
        extra: Mapping[str, str] = _NOTHING
        if self.step.env:
            context = Context(claimed=claimed, scratch=seat.scratch, out=made)
            extra = self.plan.command(context).env
        own = self._own_environment(claimed, seat, extra)
        return {**self._own_secrets, **own}

    def targets(self, claimed: Claimed, seat: Seat) -> dict[str, str]:
        """Return where each output is to be published."""
        if not self.step.outputs:
            return {}
        context = Context(claimed=claimed, scratch=seat.scratch)
        return self.plan.targets(context)

    @property
    def warm_key(self) -> WarmKey:
        """What a warm process must be to serve this step."""
        action = self.step.action
        interpreter = action.interpreter if isinstance(action, Python) else None
        return WarmKey(
            self.version,
            self.pipeline.folder,
            interpreter or sys.executable,
            self.step.prepare,
            self._secrets,
        )


class Start:
    """A command as the kernel takes it; `shown` is for people."""

    __slots__ = ("argv", "env", "shown")

    def __init__(self, argv: list[bytes], env: list[bytes], shown: str) -> None:
        self.argv = argv
        self.env = env
        self.shown = shown
