"""`stoker run`."""

from typing import TYPE_CHECKING

import click

from stoker.cli.apply import tell_applied
from stoker.cli.completing import FILE, PIPELINE
from stoker.cli.ending import EXIT_FAILED, EXIT_INTERRUPTED
from stoker.cli.push import in_words, tell_troubles
from stoker.cli.render import (
    counted,
    data,
    human_seconds,
    json_line,
    last_word,
    plural,
    say,
    shortened,
    visible,
)
from stoker.cli.scope import Scope, command, dry_run_option, json_option, reason_option, whole
from stoker.model.bounds import CPUS

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.project.running import RunSummary
    from stoker.store.arrivals.counts import Registered

_KINDS = 3  # of remaining tasks whose reason is printed
_CAUSES = 3


@command(is_guarded=True)
@click.argument("pipeline", required=False, type=PIPELINE, metavar="[PIPELINE")
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]...]")
@click.option("--slots", type=whole(CPUS), metavar="N", help="How many cpus to fill.")
@dry_run_option
@reason_option
@json_option
def run(
    scope: Scope,
    pipeline: str | None,
    paths: tuple[str, ...],
    slots: int | None,
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> int:
    """Register, then work until nothing is left to do.

    Without paths, the command registers the current content of the pipeline's `sources`; it waits for
    a file that is still being written until the file has settled.

    Nothing is left when no task is ready, running or waiting for its next try. The exit status is 1
    if tasks have failed, if items are in quarantine, or if tasks are left that could not run here.
    On Ctrl-C nothing new starts and running attempts get a few seconds; a second one ends them at
    once. The next run does the rest.
    `--dry-run` prints the same as `stoker plan`.
    """
    if dry_run:
        return _tell_beforehand(scope, pipeline, paths, slots, as_json=as_json)
    from stoker.cli.progress import progress_for

    with scope.project() as project:
        refused = [0]

        def on_push(done: "Registered") -> None:
            say(in_words(done, of=done.pipeline if len(project.pipelines) > 1 else None))
            refused[0] = tell_troubles(done) or refused[0]

        with progress_for(project, pipeline) as progress:
            summary = project.run(
                pipeline,
                paths,
                slots=slots,
                reason=reason,
                on_event=progress.update,
                on_apply=tell_applied,
                on_push=on_push,
                on_wait=tell_wait,
                on_trouble=say,
            )
        if as_json:
            from stoker.project.answers import RunAnswer

            json_line(RunAnswer.of(summary))
        else:
            data(in_a_sentence(summary))
            if summary.slots_busy is not None and summary.worked_s is not None:
                say(last_word(summary.slots_busy, summary.worked_s, summary.equal_split_s))
        if not summary.was_interrupted:
            tell_left(project, summary.ready, pipeline)
            tell_left(project, summary.lacking, pipeline, state="blocked")
            _tell_waiting_groups(project)
        if summary.failed or summary.quarantined:
            _tell_causes(project, pipeline)
    if summary.was_interrupted:
        say("stopped; `stoker run` goes on from here")
        return EXIT_INTERRUPTED
    left = summary.ready or summary.lacking
    return EXIT_FAILED if summary.failed or summary.quarantined or left else refused[0]


def _tell_beforehand(
    scope: Scope, pipeline: str | None, paths: tuple[str, ...], slots: int | None, *, as_json: bool
) -> int:
    """Say what the file would change and what would be done; nothing is."""
    from stoker.cli.plan import tell_plan

    with scope.project() as project:
        project.follow_file(
            *([pipeline] if pipeline is not None else []), on_apply=tell_applied, dry_run=True
        )
        found = project.plan(pipeline, paths, fleet=None if slots is None else str(slots))
    tell_plan(found, as_json=as_json)
    return 0


def tell_wait(files: int, settle_s: float) -> None:
    """Say that files are waited for."""
    verb = "was" if files == 1 else "were"
    say(f"{plural(files, 'file')} {verb} changed just now; waiting {settle_s:g} s to see it settle")


def tell_left(
    project: "Project", left: int, pipeline: str | None = None, *, state: str = "ready"
) -> None:
    """Say why tasks in this state are left, if there are any: of the first of each kind."""
    if not left:
        return
    kinds = _kinds_left(project, pipeline, state)
    if not kinds:
        return
    verb = "is" if left == 1 else "are"
    say(f"{plural(left, 'task')} {verb} left that could not run here")
    for of, item, step, n in kinds[:_KINDS]:
        found = project.why(item, step, pipeline=of)
        more = f" (and {plural(n - 1, 'more task')} with the same needs)" if n > 1 else ""
        say(f"  {visible(item)}, step {step}{more}: {found.text}")
        if found.do:
            say(f"  what to do: {found.do}")
    if len(kinds) > _KINDS:
        say(
            f"  and {plural(len(kinds) - _KINDS, 'more kind')} of tasks; `stoker why ITEM` explains each"
        )


def _kinds_left(
    project: "Project", pipeline: str | None, state: str
) -> list[tuple[str, str, str, int]]:
    """Return of each kind of these tasks the pipeline, the first item, the step, and how many."""
    if state == "ready":
        found = [one for one in project.demand() if pipeline in (None, one.pipeline)]
        return [(one.pipeline, one.item, one.step, one.count) for one in found]
    first = next(iter(project.tasks(pipeline=pipeline, state=state)), None)
    return [] if first is None else [(first.pipeline, first.item, first.step, 1)]


def _tell_waiting_groups(project: "Project") -> None:
    """Say how many groups are not complete, of each pipeline of groups."""
    for name, one in project.status().pipelines.items():
        n = 0 if one.groups is None else one.groups["waiting"] + one.groups["outdated"]
        if n and not _has_volumes(project, name):
            groups = plural(n, "group is", "groups are")
            say(
                f"{name}: {groups} not complete; `stoker group list --waiting` says what they wait for"
            )


def _has_volumes(project: "Project", pipeline: str) -> bool:
    """Whether the groups of a pipeline are volumes, of which the last is not full most of the time."""
    declared = project.pipelines.get(pipeline)
    sources = () if declared is None else declared.sources
    return any(one.group is not None and one.group.volume_bytes is not None for one in sources)


def in_a_sentence(summary: "RunSummary") -> str:
    """Return where everything stands, on one line."""
    if not summary.items:
        return "nothing to do: no items yet; `stoker push PIPELINE PATH…` registers some"
    words = ("done", "failed", "skipped", "cancelled", "held", "blocked", "ready")
    counts = {word: getattr(summary, word) for word in words if getattr(summary, word)}
    if left := summary.tasks - sum(counts.values()):
        counts["ready"] = left  # it was stopped
    items = plural(summary.items, "item")
    if summary.was_idle:
        is_done = summary.done + summary.skipped == summary.tasks
        kept = f"{summary.quarantined:,} in quarantine" if summary.quarantined else ""
        if not summary.tasks and kept:
            return f"nothing to do: {items}, {kept}"
        how = ", all done" if is_done else f"; tasks: {counted(counts)}"
        if kept:
            how = f", {kept}" + (", all others done" if is_done else how)
        return f"nothing to do: {items}{how}"
    tasks = plural(summary.tasks, "task")
    return f"{items}, {tasks}: {counted(counts)}; {human_seconds(summary.elapsed_s)}"


def _tell_causes(project: "Project", pipeline: str | None) -> None:
    """Say why most tasks failed or items could not be taken, and how to go on."""
    found = project.failures(pipeline=pipeline)
    for row in found[:_CAUSES]:
        what = f"of {row.step}" if row.step is not None else "in quarantine"
        is_masked = row.n == 1 and row.reason is not None and "…" in row.cause
        cause = row.reason if is_masked else row.cause  # which leaves names and numbers out
        say(shortened(f"  {row.n:,} {what}: {cause}"))
    if len(found) > _CAUSES:
        say(f"  and {plural(len(found) - _CAUSES, 'more cause')}")
    if any(row.step is not None for row in found):
        say("`stoker failures` shows all, with what to do; `stoker retry` tries them again")
    else:
        say("put it right; then `stoker retry --state quarantined` takes it")
