"""What a visit makes of an outpost's answers: results, and the paths of their outputs."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stoker.errors import Unavailable
from stoker.model.id_types import AttemptId
from stoker.model.outpost import Outpost
from stoker.model.pipeline import Pipeline, Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Claimed, Result, Wanted
from stoker.outpost.bundle import Delivered
from stoker.outpost.plain import to_plain
from stoker.outpost.versions import version_of
from stoker.spec.canon import load_pipeline
from stoker.spec.template import compile_step
from stoker.spec.values import Context
from stoker.store.reports.carried import Carried

SOME = 100  # attempts in a question


def ended(
    one: Carried, state: AttemptState, verdict: Verdict, reason: str, cause: str | None = None
) -> Result:
    """Return an end of the attempt that nobody there has reported."""
    return Result(
        attempt=AttemptId(one.attempt), task_id=one.task_id, state=state, verdict=verdict,
        ended_us=time.time_ns() // 1000, reason=reason, cause=cause or reason, node=one.node,
    )  # fmt: skip


def failed(result: Result, reason: str, cause: str) -> Result:
    """Return the result of an attempt that has done its work, and whose outputs are not as they should be."""
    verdict = Verdict.FAIL if cause == "output_conflict" else Verdict.RETRY
    return replace(
        result, state=AttemptState.FAILED, verdict=verdict, reason=reason, cause=cause, values={}
    )


def outputs_of(
    outpost: Outpost, delivered: Delivered, claimed: Claimed, pipeline: Pipeline
) -> list[dict[str, Any]]:
    """Return what is to be published, with the paths that the version and the item give it."""
    _, text = version_of(pipeline, outpost)
    there = load_pipeline(text)
    step = there.step(claimed.step)
    declared = {one.name: one for one in step.outputs}
    targets = compile_step(there, step).targets(Context(claimed=claimed, scratch=""))
    found, taken = [], set()
    for one in delivered.staged:
        output = declared.get(one.name)
        if output is None:
            raise ValueError(f"`{one.name}` is no output of step `{claimed.step}`")
        target = targets[one.name]
        is_several = output.pick is not None and (output.is_folder or target.endswith("/"))
        target = os.path.join(target, one.basename) if is_several else target.rstrip("/")
        if not is_several and os.path.basename(target) != one.basename:
            raise ValueError(f"output `{one.name}` is staged as `{one.basename}`")
        if target in taken:
            raise ValueError(f"two outputs would both be `{target}`")
        taken.add(target)
        found.append({**to_plain(one), "target": target, "overwrite": output.overwrite})
    return found


def check_wanted(wanted: Sequence[Wanted], delivered: Delivered) -> None:
    """ValueError if anything else is to be published than what was delivered."""
    known = {(one.size_bytes, one.checksum) for one in delivered.staged}
    for one in wanted:
        if (one.content.size_bytes, one.content.checksum) not in known:
            raise ValueError("what it wants to publish is not what was delivered")


def pieces(all_of: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Return as many at a time as a question may be about."""
    return (all_of[at : at + SOME] for at in range(0, len(all_of), SOME))


def states(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return where the far end has which attempt; Unavailable if that makes no sense."""
    found = answer.get("attempts")
    if not isinstance(found, dict) or not all(
        len(one) == 32 and isinstance(word, str) for one, word in found.items()
    ):
        raise Unavailable("the outpost's list of attempts makes no sense")
    return dict(found)


def number(told: Mapping[str, Any], name: str) -> int:
    """Return a count in the far end's answer; Unavailable if it is not one."""
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise Unavailable(f"the outpost's answer has no sound `{name}`")
    return value
