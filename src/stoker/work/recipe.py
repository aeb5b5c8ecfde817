"""Owns what a worker keeps of a step: compiled once a version, then used for every attempt.

What attempts of one step share (most of the environment, often the whole command) is encoded for
the kernel once.
"""

import os
import shlex
from collections.abc import Mapping, Sequence

from stoker.model.pipeline import Call, ItemKind, Persistent, Pipeline, Python, Warm
from stoker.model.task import Claimed
from stoker.model.words import shown
from stoker.spec.condition import Condition
from stoker.spec.environment import attempt_env, base_environment
from stoker.spec.error_folders import compile_error_folder
from stoker.spec.member_names import ALL, file_of, lists_used
from stoker.spec.parts import files_used, inputs_used
from stoker.spec.template import compile_step
from stoker.spec.values import Context
from stoker.work.contain import MARK
from stoker.work.slot import Seat
from stoker.work.spawn import encode_env
from stoker.work.warm_key import Kind, WarmKey, kind_of, program_of

_NOTHING: Mapping[str, str] = {}
_ITS_OWN = ("STOKER_ATTEMPT", "STOKER_ITEM", "STOKER_KEY")


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
        self.error_folder = compile_error_folder(pipeline)
        self.condition = None if step.when is None else Condition(step.when)
        self._files = files_used(pipeline, step)
        self._inputs = inputs_used(step)
        is_group = pipeline.items is ItemKind.GROUPS
        self.lists = lists_used(step) if is_group else None  # of members
        self.is_warm = isinstance(step.action, Warm)
        self.key = (first.version_id, step.name)
        self.prepared: Mapping[str, str] | None = None if step.prepare else os.environ
        self.broken: str | None = None
        self._secrets = tuple(sorted({*first.terms.secrets, *own_secrets}))
        self._gpu_pools = first.terms.devices
        self._site = step.site or first.terms.site
        self._mark = mark
        self._shared: dict[str, str] | None = None
        self._encoded: list[bytes] = []
        self._argv: list[bytes] | None = None
        self._kept: dict[tuple[str, int, int | None], list[bytes]] = {}
        self._shown = ""
        self._warm_key: WarmKey | None = None

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
            inherited = self._inherited(base)
            shared = {name: value for name, value in inherited.items() if name not in hidden}
            shared.update(self._own_secrets)
            shared[MARK] = self._mark
            self._shared = shared
            self._encoded = encode_env(shared)
        return self._shared

    def _inherited(self, base: Mapping[str, str]) -> dict[str, str]:
        return base_environment(base, project=self.pipeline.project_folder, site=self._site)

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
            members_file=None if self.lists is None else file_of(seat.scratch, ALL),
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
        """The environment of a warm process: one that serves several steps has no secrets.

        A persistent program, which serves one, has also what is the same for all its tasks.
        """
        base = os.environ if self.prepared is None else self.prepared
        hidden = set(self._secrets)
        inherited = self._inherited(base)
        shared = {name: value for name, value in inherited.items() if name not in hidden}
        if isinstance(self.step.action, Persistent):
            shared |= {**self._own_secrets, **self.plan.fixed_env}
        return {**shared, MARK: self._mark}

    def call_environment(
        self, claimed: Claimed, seat: Seat, made: Mapping[str, str]
    ) -> dict[str, str]:
        """Return what a warm process must set for this attempt, on top of its own environment."""
        extra: Mapping[str, str] = _NOTHING
        if self.step.env:
            extra = self.plan.command(Context(claimed=claimed, scratch=seat.scratch, out=made)).env
        own = self._own_environment(claimed, seat, extra)
        return {**self._own_secrets, **own}

    def targets(self, claimed: Claimed, seat: Seat) -> dict[str, str]:
        """Return where each output is to be published."""
        if not self.step.outputs:
            return {}
        context = Context(claimed=claimed, scratch=seat.scratch)
        return self.plan.targets(context)

    def function(self, claimed: Claimed) -> str:
        """Return what a warm process is to call; for a persistent program, its command."""
        action = self.step.action
        if isinstance(action, Python | Call):
            return action.function
        return shown(shlex.join(self._program_of(claimed)))

    def warm_key(self, claimed: Claimed) -> WarmKey:
        """Return what a warm process must be to serve this attempt."""
        if self._warm_key is None:
            self._warm_key = self._make_warm_key(claimed)
        if not self._gpu_pools:
            return self._warm_key
        slots = [slot for pool in self._gpu_pools for slot in claimed.slots.get(pool, ())]
        return self._warm_key._replace(devices=",".join(slots))

    def _make_warm_key(self, claimed: Claimed) -> WarmKey:
        action, step = self.step.action, self.step
        if isinstance(action, Python | Call):
            kind, program, only_step = kind_of(action), program_of(action), ""
        else:
            kind, program, only_step = Kind.PERSISTENT, self._program_of(claimed), step.name
        return WarmKey(
            version_id=self.version,
            folder=self.pipeline.folder,
            kind=kind,
            program=program,
            prepare=step.prepare,
            secrets=self._secrets,
            step=only_step,
            open_files=None if kind is Kind.PYTHON else step.open_files,
        )

    def _program_of(self, claimed: Claimed) -> tuple[str, ...]:
        return self.plan.command(Context(claimed=claimed, scratch="", out=_NOTHING)).argv


class Start:
    """A command as the kernel takes it; `shown` is for people."""

    __slots__ = ("argv", "env", "shown")

    def __init__(self, argv: list[bytes], env: list[bytes], shown: str) -> None:
        self.argv = argv
        self.env = env
        self.shown = shown
