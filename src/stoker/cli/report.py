"""`stoker report`: the state as one page that needs nothing else."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli.failures import says_it_all
from stoker.cli.render import human_eta, human_time, plural, say, visible
from stoker.cli.scope import Scope, command
from stoker.errors import SpecError, UserError

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.store.rows import FailureRow, PipelineStatus, Status

_STATES = (
    ("done", "#2f9e62"), ("skipped", "#a3b8ad"), ("running", "#1f7fb8"), ("ready", "#8fc4e8"),
    ("blocked", "#c9ced6"), ("held", "#d9a400"), ("failed", "#c8403a"), ("cancelled", "#8a8f98"),
)  # fmt: skip
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.2rem;margin:2rem 0 .4rem}
.quiet{color:#777}table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid #8884;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.bar{display:flex;height:.8rem;margin-top:.3rem;border-radius:.3rem;overflow:hidden;background:#8883;min-width:12rem}
.bar span{display:block}.trouble{color:#c8403a}
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.35em}
code{font-size:.9em;overflow-wrap:anywhere}
"""


@command()
@click.option("--out", required=True, metavar="FILE|-", help="Where to write the page.")
def report(scope: Scope, out: str) -> None:
    """Write the state as one self-contained page.

    Counts of every pipeline and step, failures by cause with what to do, sources, pools and workers:
    one HTML file without scripts, to be mailed or put on a web server.
    """
    with scope.reading() as project:
        status, failures = project.status(), project.failures()
        text = "".join(_page(_name_of(project), status, failures))
    content = text.encode("utf-8", "backslashreplace")
    if out == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        Path(out).write_bytes(content)
    except OSError as error:
        raise UserError(f"`{out}` cannot be written: {error.strerror}") from None
    say(f"wrote `{out}`")


def _name_of(project: "Project") -> str:
    """Return the project's name; that of its folder while the file cannot be read."""
    with suppress(SpecError):
        return project.settings.name
    return project.file.parent.name


def _page(name: str, status: "Status", failures: "Sequence[FailureRow]") -> Iterator[str]:
    now = datetime.now(UTC).astimezone()
    yield "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
    yield "<meta name='viewport' content='width=device-width,initial-scale=1'>"
    yield f"<title>{_html(name)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{_html(name)}</h1><p class='quiet'>as of {_html(human_time(now))} {now:%Z}</p>"
    if status.trouble:
        yield _trouble(status.trouble)
    if not status.pipelines:
        yield "<p>No pipeline has been taken over yet.</p>"
    for pipeline, one in status.pipelines.items():
        yield from _pipeline(pipeline, one, [row for row in failures if row.pipeline == pipeline])
    yield from _around(status)
    yield "</body></html>\n"


def _around(status: "Status") -> Iterator[str]:
    """Where items come from, and what carries tasks out."""
    if status.sources:
        rows = [
            [f"{one.pipeline}/{one.source}", human_time(one.looked_at), f"{one.taken:,}",
             f"{one.pending:,}", one.trouble or ""]
            for one in status.sources
        ]  # fmt: skip
        titles = ["source", "looked", "taken", "pending", ""]
        yield "<h2>Sources</h2>" + _table(titles, rows, numbers={2, 3})
    if status.pools:
        rows = [[pool, str(of.used), str(of.slots)] for pool, of in status.pools.items()]
        yield "<h2>Pools</h2>" + _table(["pool", "used", "slots"], rows, numbers={1, 2})
    if status.workers:
        rows = [
            [
                w.name,
                w.host,
                str(w.running),
                str(w.slots),
                human_time(w.started_at),
                w.trouble or "",
            ]
            for w in status.workers
        ]
        titles = ["worker", "host", "running", "slots", "since", ""]
        yield "<h2>Workers</h2>" + _table(titles, rows, numbers={2, 3})


def _trouble(text: str) -> str:
    return f"<p class='trouble'>{_html(text)}</p>"


def _pipeline(name: str, one: "PipelineStatus", failures: "Sequence[FailureRow]") -> Iterator[str]:
    yield f"<h2>{_html(name)}</h2>"
    words = [f"{n:,} {word}" for word, n in one.items.items() if n]
    eta = f"; {human_eta(one.eta_s, one.eta_interval_s)}" if one.eta_s is not None else ""
    items = plural(sum(one.items.values()), "item")
    yield f"<p>{items}: {', '.join(words) or 'none'}{_html(eta)}</p>"
    if one.outdated:
        tasks = plural(one.outdated, "done task is", "done tasks are")
        yield f"<p>{tasks} of an older version of the step; "
        yield "<code>stoker rerun --outdated</code> redoes them.</p>"
    shown = [(word, colour) for word, colour in _STATES if one.tasks[word]]
    yield "<table><tr><th>step</th><th></th>"
    yield from (
        f"<th class='n'><span class='dot' style='background:{colour}'></span>{word}</th>"
        for word, colour in shown
    )
    yield "</tr>"
    for step, counts in one.steps.items():
        cells = "".join(f"<td class='n'>{_count(counts[word])}</td>" for word, _ in shown)
        yield f"<tr><td>{_html(step)}</td><td>{_bar(counts)}</td>{cells}</tr>"
    yield "</table>"
    if failures:
        titles = ["failed", "step", "cause", "for example"]
        rows = [_failure_cells(row) for row in failures]
        if any(row.do for row in failures):
            titles.insert(3, "what to do")
            rows = [
                [*cells[:3], row.do or "", cells[3]]
                for row, cells in zip(failures, rows, strict=True)
            ]
        yield "<h3>Failures by cause</h3>" + _table(titles, rows, numbers={0})


def _failure_cells(row: "FailureRow") -> list[str]:
    more = f" and {row.n - len(row.examples):,} more" if row.n > len(row.examples) else ""
    reason = "" if row.reason is None or says_it_all(row.cause, row.reason) else f": {row.reason}"
    return [
        f"{row.n:,}",
        row.step or "quarantined",
        f"{row.cause}{reason}",
        ", ".join(row.examples) + more,
    ]


def _count(n: int) -> str:
    return f"{n:,}" if n else "·"


def _bar(counts: "dict[str, int] | object") -> str:
    if not isinstance(counts, dict):
        return ""
    total = sum(counts.values())
    parts = [
        f"<span style='width:{100 * counts[word] / total:.3f}%;background:{colour}' "
        f"title='{counts[word]:,} {word}'></span>"
        for word, colour in _STATES
        if total and counts[word]
    ]
    return f"<div class='bar'>{''.join(parts)}</div>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: set[int]) -> str:
    def cell(kind: str, at: int, text: str) -> str:
        number = " class='n'" if at in numbers else ""
        return f"<{kind}{number}>{_html(text)}</{kind}>"

    head = "".join(cell("th", at, title) for at, title in enumerate(titles))
    body = "".join(
        "<tr>" + "".join(cell("td", at, text) for at, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _html(text: str) -> str:
    return escape(visible(text))
