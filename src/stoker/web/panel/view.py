"""What the overview and the failures say, made of the project's answers alone: for pages and reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stoker.web.panel import words

if TYPE_CHECKING:
    from stoker.store.forecasts.activity import Rate
    from stoker.store.status_rows import PipelineStatus, Status
    from stoker.store.story_rows import FailureRow

_HIGH = 24  # of a drawing of rates
TOP = 5  # causes on the overview
_LIKELY = 0.5  # of all failures: then the overview's sentence names the cause


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLine:
    """One pipeline on the overview. `parts` are its bar, `steps` the bars of its steps."""

    name: str
    title: str
    total: int
    done: int
    status: "PipelineStatus"
    parts: Sequence[words.Part]
    counts: Sequence[tuple[str, words.Look, int]]
    steps: Sequence["StepLine"]
    eta: str
    rate: "Sparkline | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """What ended in each of the last hours, as columns of a drawing 24 high; `said` is it in words.

    Of each column its place, its height, and the height of what has failed.
    """

    width: int
    columns: Sequence[tuple[int, float, float]]
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step of a pipeline: its tasks by state."""

    name: str
    total: int
    parts: Sequence[words.Part]
    counts: Sequence[tuple[str, words.Look, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLine:
    """A pool and how much of it is in use, of 1,000."""

    name: str
    used: int
    slots: int
    width: float
    hosts: Mapping[str, Mapping[str, int]]
    opens_at: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The whole overview. `troubles` are what a person should look at first."""

    sentence: str
    pipelines: Sequence[PipelineLine]
    pools: Sequence[PoolLine]
    failures: Sequence["FailureRow"]
    n_causes: int
    n_failed: int
    troubles: Sequence[tuple[str, str]]
    is_empty: bool
    is_drained: bool


def overview_of(
    status: "Status",
    failures: Sequence["FailureRow"],
    titles: Mapping[str, str],
    rates: "Mapping[str, Sequence[Rate]] | None" = None,
) -> Overview:
    """Return the overview of these counts. `titles` are those of pipelines that have one.

    `rates` are what ended in each of the last hours, by pipeline.
    """
    lines = [
        replace(_pipeline(name, one, titles), rate=sparkline((rates or {}).get(name, ())))
        for name, one in status.pipelines.items()
    ]
    total = sum(one.total for one in lines)
    is_open = any(one.status.items.get(w) for one in lines for w in ("running", "waiting", "held"))
    return Overview(
        sentence=_sentence(status, lines, failures),
        pipelines=lines,
        pools=[_pool(name, one) for name, one in status.pools.items()],
        failures=failures[:TOP],
        n_causes=len(failures),
        n_failed=sum(row.n for row in failures if row.step is not None),
        troubles=_troubles(status),
        is_empty=total == 0,
        is_drained=total > 0 and not is_open,
    )


def _pipeline(name: str, status: "PipelineStatus", titles: Mapping[str, str]) -> PipelineLine:
    return PipelineLine(
        name=name,
        title=titles.get(name, ""),
        total=sum(status.items.values()),
        done=status.items.get("done", 0),
        status=status,
        parts=words.bar(status.items, words.ITEM_ORDER),
        counts=words.counts_of(status.items, words.ITEM_ORDER),
        steps=[
            StepLine(
                name=step,
                total=sum(counts.values()),
                parts=words.bar(counts, words.TASK_ORDER),
                counts=words.counts_of(counts, words.TASK_ORDER),
            )
            for step, counts in status.steps.items()
        ],
        eta=_eta(status),
    )


def sparkline(rates: "Sequence[Rate]") -> Sparkline | None:
    """Return what ended in each hour as a drawing; None where nothing did."""
    done, failed = sum(one.done for one in rates), sum(one.failed for one in rates)
    most = max((one.done + one.failed for one in rates), default=0)
    if not most:
        return None
    columns = [
        (
            4 * at,
            round(_HIGH * (one.done + one.failed) / most, 1),
            round(_HIGH * one.failed / most, 1),
        )
        for at, one in enumerate(rates)
        if one.done or one.failed
    ]
    bad = f", {failed:,} failed" if failed else ""
    said = f"{words.plural(done, 'task')} done{bad} in the last {len(rates)} hours, {most:,} an hour at most"
    return Sparkline(width=4 * len(rates), columns=columns, said=said)


def load_line(hours: "Sequence[float]") -> Sparkline | None:
    """Return how many attempts ran at once in each hour as a drawing; None where none did."""
    most = max(hours, default=0.0)
    if most <= 0:
        return None
    columns = [
        (4 * at, max(round(_HIGH * one / most, 1), 1.0), 0.0) for at, one in enumerate(hours) if one
    ]
    mean = sum(hours) / len(hours)
    said = f"{mean:.1f} at once in the last {len(hours)} hours, {most:.1f} at most"
    return Sparkline(width=4 * len(hours), columns=columns, said=said)


def _eta(status: "PipelineStatus") -> str:
    """Return how long it will take yet, as a range where that is known."""
    if status.eta_s is None:
        return ""
    said = f"about {words.span(status.eta_s)} to go"
    if status.eta_interval_s is None:
        return said
    low, high = map(words.span, status.eta_interval_s)
    return said if low == high else f"{said} ({low} to {high})"


def _pool(name: str, status: object) -> PoolLine:
    from stoker.store.status_rows import PoolStatus

    assert isinstance(status, PoolStatus)  # noqa: S101 - as `Status` has them
    share = 1000.0 * status.used / status.slots if status.slots else 0.0
    return PoolLine(
        name=name,
        used=status.used,
        slots=status.slots,
        width=min(round(share, 1), 1000.0),
        hosts=status.hosts,
        opens_at=status.opens_at,
    )


def _sentence(
    status: "Status", lines: Sequence[PipelineLine], failures: Sequence["FailureRow"]
) -> str:
    """Return what a person would say who is asked how it is going."""
    total = sum(one.total for one in lines)
    if total == 0:
        return "No item has been registered yet."
    parts = [_working(status, lines)]
    done = sum(one.done for one in lines)
    parts.append(f"{done:,} of {words.plural(total, 'item')} done")
    failed = sum(row.n for row in failures if row.step is not None)
    if failed:
        worst = failures[0]
        share = worst.n / failed
        known = "" if share < _LIKELY else f", {'all' if share == 1 else 'most'} by one cause"
        parts.append(f"{words.plural(failed, 'failed task')}{known}")
    held = sum(one.status.items.get("held", 0) for one in lines)
    if held:
        parts.append(f"{words.plural(held, 'item')} held")
    ends = [one.status.eta_s for one in lines if one.status.eta_s is not None]
    if ends:
        parts.append(f"about {words.span(max(ends))} to go")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _working(status: "Status", lines: Sequence[PipelineLine]) -> str:
    """Return where work is being done, and by how many."""
    running = sum(worker.running for worker in status.workers)
    slots = sum(worker.slots for worker in status.workers)
    hosts = len({worker.host for worker in status.workers})
    busy = [one.name for one in lines if one.status.tasks.get("running")]
    if not status.workers:
        is_waiting = any(one.status.tasks.get("ready") for one in lines)
        return "no worker is alive, and tasks wait for one" if is_waiting else "no worker is alive"
    where = words.plural(hosts, "machine")
    if not running:
        return f"nothing is running on {where} with {words.plural(slots, 'slot')}"
    what = f"pipeline {busy[0]}" if len(busy) == 1 else words.plural(len(busy), "pipeline")
    tasks = words.plural(running, "task")
    verb = "runs" if len(busy) == 1 else "run"
    return f"{what} {verb} on {where}: {tasks} on {words.plural(slots, 'slot')}"


def _troubles(status: "Status") -> list[tuple[str, str]]:
    """Return what keeps things from going on, each with where it is."""
    found = [("The store", status.trouble)] if status.trouble else []
    found += [
        (f"Source {one.source} of {one.pipeline}", one.trouble)
        for one in status.sources
        if one.trouble
    ]
    found += [
        (f"Worker {one.name} on {one.host}", one.trouble) for one in status.workers if one.trouble
    ]
    found += [
        (f"Batch system {name}", str(one.reason)) for name, one in status.batch.items() if one.held
    ]
    found += [
        (f"Batch system {name}", one.trouble)
        for name, one in status.batch.items()
        if one.trouble and not one.held
    ]
    found += [(f"Site {name}", one.trouble) for name, one in status.sites.items() if one.trouble]
    found += [
        (f"Messages to {name}", one.trouble) for name, one in status.notify.items() if one.trouble
    ]
    found += [
        (f"Table {one.path} of {name}", one.trouble)
        for name, pipeline in status.pipelines.items()
        for one in pipeline.tables.values()
        if one.trouble
    ]
    return found
