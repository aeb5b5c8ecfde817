"""The environment of an attempt: what a command finds out about its task without arguments."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from stoker.spec.values import to_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stoker.model.pipeline import Step
    from stoker.model.task import Claimed

_PREFIX = "STOKER_"


def base_environment(environ: Mapping[str, str], *, project: str, site: str = "") -> dict[str, str]:
    """Return what attempts inherit of a worker's environment, to be made once a worker.

    The worker's own `STOKER_` variables stay out, since they are about another attempt or another
    worker. `STOKER_PROJECT` is the folder of `stoker.toml`, so that a `stoker` in a step finds it.
    `STOKER_SITE` is the site at which the attempt runs.
    """
    base = {name: value for name, value in environ.items() if not name.startswith(_PREFIX)}
    return {**base, "STOKER_PROJECT": project, **({"STOKER_SITE": site} if site else {})}


def attempt_env(  # noqa: PLR0913 - each is a fact of the attempt, given by name
    claimed: Claimed,
    *,
    scratch: str,
    base: Mapping[str, str],
    secrets: Sequence[str],
    step: Step,
    values_file: str,
    reason_file: str,
    extra: Mapping[str, str] | None = None,
    gpu_pools: Collection[str] = (),
    members_file: str | None = None,
) -> dict[str, str]:
    """Return the whole environment of one attempt.

    `base` is what `base_environment` made, `secrets` are the names of all secrets of the project,
    of which the step gets those it lists; `extra` is the step's own `env`, filled in. `gpu_pools`
    are the pools whose slots are devices: `CUDA_VISIBLE_DEVICES` names the ones held. `members_file`
    lists the members of a group.
    """
    env = dict(base)
    for name in secrets:
        if name not in step.secrets:
            env.pop(name, None)
    memory_bytes = claimed.memory_bytes
    env["STOKER_ATTEMPT"] = str(uuid.UUID(bytes=bytes(claimed.attempt)))
    env["STOKER_ITEM"] = "" if claimed.path is None else claimed.path
    env["STOKER_KEY"] = claimed.key
    env["STOKER_STEP"] = claimed.step
    env["STOKER_PIPELINE"] = claimed.pipeline
    env["STOKER_SCRATCH"] = scratch
    env["STOKER_CPUS"] = str(claimed.cpus)
    env["STOKER_MEMORY_BYTES"] = "" if memory_bytes is None else str(memory_bytes)
    env["STOKER_VALUES"] = values_file
    env["STOKER_REASON"] = reason_file
    if members_file is not None:
        env["STOKER_MEMBERS"] = members_file
    for name, value in claimed.params.items():
        env[f"STOKER_PARAM_{name.upper()}"] = _show(value)
    devices: list[str] = []
    for pool, slots in claimed.slots.items():
        env[f"STOKER_POOL_{pool.upper()}"] = ",".join(slots)
        if pool in gpu_pools:
            devices.extend(slots)
    if gpu_pools:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    if extra:
        env.update(extra)
    return env


def _show(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | tuple) else to_text(value)
