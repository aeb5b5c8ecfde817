"""`stoker show`."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import click

from stoker.cli.completing import PIPELINE, STEP
from stoker.cli.render import (
    COLOURS,
    data,
    human_bytes,
    human_eta,
    human_seconds,
    human_time,
    json_line,
    say,
    table,
    visible,
)
from stoker.cli.scope import KEY, Scope, by_part, command, json_option
from stoker.errors import NotFound, UserError
from stoker.model.encoding import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.store.batch_rows import PilotRow
    from stoker.store.rows import AttemptRow
    from stoker.store.story_rows import Happening, Story

# What the attempts or the tasks' states tell already, or what follows from another event.
_TOLD_ELSEWHERE = frozenset(
    {
        "claim",
        "succeed",
        "fail",
        "requeue",
        "requeue_blocked",
        "skip",
        "stop",
        "unblock",
        "block",
        "adopt",
    }
)
_WORDS = {
    "change": "new content",
    "pass_over": "passed over: a step ended the item early",
    "push": "pushed",
    "register": "registered",
    "release_blocked": "release",
    "revoke": "stopped, as a step before it is to run again",
    "revoke_ready": "stopped, to be done again",
}


@command()
@click.argument("key", type=KEY, metavar="KEY")
@click.argument("step", required=False, type=STEP, metavar="[STEP]")
@click.option(
    "--pipeline", type=PIPELINE, metavar="NAME", help="Of this pipeline, if several have the key."
)
@click.option("--as-command", is_flag=True, help="Print what reproduces an attempt by hand.")
@click.option("--attempt", metavar="ID", help="With --as-command: of this attempt.")
@json_option
def show(
    scope: Scope,
    key: str,
    step: str | None,
    pipeline: str | None,
    as_command: bool,
    attempt: str | None,
    as_json: bool,
) -> None:
    """Show the whole story of an item in order.

    KEY may also be a glob or a part of the key that only one item has.
    That is its data, every attempt with reason and outputs, and every action of a person.
    `--as-command` prints a bash script that repeats the latest attempt of STEP (or of the last step
    that was tried) by hand, with the same environment and inputs; it publishes and records nothing.
    """
    if attempt is not None and not as_command:
        raise UserError(
            "`--attempt` goes with `--as-command`; `stoker logs --attempt` shows its output"
        )
    with scope.reading() as project:
        found = by_part(project, key, pipeline, lambda name, of: project.show(name, pipeline=of))
        if as_command:
            chosen = _chosen(found, step, attempt)
            scratch = f"/tmp/stoker-{chosen.id[-12:]}/scratch"  # noqa: S108 - shown, not used
            rehearsal = project.rehearse(
                found.item.item,
                chosen.step,
                scratch=scratch,
                pipeline=found.item.pipeline,
                attempt=chosen.id,
            )
            data(rehearsal.as_text().rstrip("\n"))
            return
    if as_json:
        json_line(found)
    else:
        _tell(found, step)


def _chosen(found: "Story", step: str | None, attempt: str | None) -> "AttemptRow":
    for one in reversed(found.attempts):
        is_asked = one.id.startswith(attempt) if attempt else one.started_at is not None
        if is_asked and step in (None, one.step):
            return one
    which = f" `{attempt}`" if attempt else ""
    of_step = f" of step `{step}`" if step else ""
    raise NotFound(f"`{found.item.item}` has no attempt{which}{of_step} yet")


def _tell(found: "Story", step: str | None) -> None:
    item = found.item
    data(f"{click.style(visible(item.item), bold=True)}  {item.pipeline}  {_state(item.state)}")
    facts = [visible(item.path)] if item.path is not None else []
    if item.size_bytes is not None:
        facts.append(human_bytes(item.size_bytes))
    if item.priority:
        facts.append(f"priority {item.priority}")
    if facts:
        data("  " + ", ".join(facts))
    if found.eta_s is not None:
        data("  " + human_eta(found.eta_s, found.eta_interval_s))
    for name, values in (("params", item.params), ("meta", item.meta)):
        if values:
            data(f"  {name}: " + ", ".join(f"{k}={visible(as_text(v))}" for k, v in values.items()))
    data()
    moments = [*_attempt_lines(found, step), *_happening_lines(found.happenings, step)]
    for at, text in sorted(moments, key=lambda one: one[0]):
        first, *rest = text.split("\n")
        data(f"{human_time(at)}  {first}")
        for line in rest:
            data(f"{' ' * 21}{line}")
    data()
    table(
        ["step", "state", "attempts", "reason"],
        [[t.step, t.state, str(t.attempts), t.reason or ""] for t in found.tasks],
        right=("attempts",),
    )
    if any(task.state == "failed" for task in found.tasks):
        say("`stoker logs` shows what was written, `stoker show --as-command` how to try by hand")


def _attempt_lines(found: "Story", step: str | None) -> Iterator[tuple[datetime, str]]:
    pilots = {one.id: one for one in found.pilots}
    for one in found.attempts:
        was_given_back = one.started_at is None and one.state == "cancelled"
        if step not in (None, one.step) or was_given_back:
            continue
        yield one.started_at or one.claimed_at, "\n".join(_about(one, pilots))


def _about(one: "AttemptRow", pilots: "Mapping[str, PilotRow]") -> Iterator[str]:
    yield _how_it_went(one) + click.style(f"  {one.id}", dim=True)
    if one.pilot is not None and one.pilot in pilots:
        yield f"  {_of_pilot(one, pilots[one.pilot])}"
    elif one.batch_id is not None:
        yield f"  batch job {one.batch_id}"
    if one.reason:
        yield f"  {visible(one.reason)}"
    for name, stream in (("stdout", one.stdout), ("stderr", one.stderr)):
        if stream.size_bytes:
            cut = ", cut" if stream.truncated else ""
            yield f"  {name}: {human_bytes(stream.size_bytes)}{cut}"
    for output in one.outputs:
        yield f"  {output.name}: {visible(output.path)} ({human_bytes(output.size_bytes)})"
    if one.values:
        yield "  values: " + ", ".join(f"{k}={visible(as_text(v))}" for k, v in one.values.items())


def _of_pilot(one: "AttemptRow", pilot: "PilotRow") -> str:
    """Name the pilot; of an attempt that it did not outlive, how it ended."""
    on = f" on {pilot.host}" if pilot.host and pilot.host not in (one.host, one.node) else ""
    text = f"pilot {pilot.id} of {pilot.batch}, job {one.batch_id}{on}"
    is_cut = pilot.ended_at is not None and one.state in ("lost", "cancelled")
    if is_cut and pilot.ended_at is not None:
        why = f", {visible(pilot.reason)}" if pilot.reason else ""
        text += f"; it {pilot.state} at {human_time(pilot.ended_at)}{why}"
    return text


def _how_it_went(one: "AttemptRow") -> str:
    took = f" in {human_seconds(one.elapsed_s)}" if one.elapsed_s is not None else ""
    where = f" on {visible(one.ran_on)}" if one.ran_on else ""
    parts = [f"{one.step} #{one.number} {_state(one.state)}{took}{where}"]
    if one.kind != "run":
        parts.append(one.kind)
    if one.exit_code:
        parts.append(f"exit code {one.exit_code}")
    if one.signal:
        parts.append(f"signal {one.signal}")
    if one.publishing_s is not None and one.publishing_s >= 1.0:
        parts.append(f"{human_seconds(one.publishing_s)} of it publishing")
    cpu_s = (one.user_s or 0) + (one.system_s or 0)
    if cpu_s >= 0.01:
        parts.append(f"cpu {human_seconds(cpu_s)}")
    if one.max_rss_bytes:
        parts.append(f"memory {human_bytes(one.max_rss_bytes)}")
    return ", ".join(parts)


def _happening_lines(
    happenings: "tuple[Happening, ...]", step: str | None
) -> Iterator[tuple[datetime, str]]:
    """One line for what one command did, whatever number of steps it touched."""
    told = [
        one
        for one in happenings
        if one.event not in _TOLD_ELSEWHERE and (step is None or one.step in (None, step))
    ]
    for (at, event, by, reason), several in groupby(
        told, key=lambda one: (one.at, one.event, one.by, one.reason)
    ):
        steps = ", ".join(one.step for one in several if one.step)
        text = _WORDS.get(event, event)
        if steps:
            text += f" {steps}"
        if by:
            text += f" by {by}"
        yield at, text + (f": {visible(reason)}" if reason else "")


def _state(word: str) -> str:
    return click.style(word, fg=COLOURS.get(word))
