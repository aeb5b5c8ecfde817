"""`stoker report`: the state as one page that needs nothing else."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli.render import human_seconds, human_time, say, visible
from stoker.cli.scope import Scope, command
from stoker.errors import UserError

if TYPE_CHECKING:
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
.bar{display:flex;height:.8rem;border-radius:.3rem;overflow:hidden;background:#8883;min-width:12rem}
.bar span{display:block}code{font-size:.9em;overflow-wrap:anywhere}
"""


@command()
@click.option("--out", required=True, metavar="FILE", help="Where to write the page.")
def report(scope: Scope, out: str) -> None:
    """Write the state as one self-contained page.

    Counts of every pipeline and step, failures by cause, workers and pools: one HTML file without
    scripts, to be mailed or put on a web server.
    """
    with scope.reading() as project:
        status, failures = project.status(), project.failures()
        text = "".join(_page(project.file.parent.name, status, failures))
    try:
        Path(out).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(f"`{out}` cannot be written: {error.strerror}") from None
    say(f"wrote `{out}`")


def _page(name: str, status: "Status", failures: "Sequence[FailureRow]") -> Iterator[str]:
    now = human_time(datetime.now(UTC))
    yield "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
    yield "<meta name='viewport' content='width=device-width,initial-scale=1'>"
    yield f"<title>{_html(name)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{_html(name)}</h1><p class='quiet'>as of {_html(now)}</p>"
    for pipeline, one in status.pipelines.items():
        yield from _pipeline(pipeline, one, [row for row in failures if row.pipeline == pipeline])
    if status.pools:
        rows = [[pool, str(of.used), str(of.slots)] for pool, of in status.pools.items()]
        yield "<h2>Pools</h2>" + _table(["pool", "used", "slots"], rows, numbers={1, 2})
    if status.workers:
        rows = [
            [w.name, w.host, str(w.running), str(w.slots), human_time(w.started_at)]
            for w in status.workers
        ]
        titles = ["worker", "host", "running", "slots", "since"]
        yield "<h2>Workers</h2>" + _table(titles, rows, numbers={2, 3})
    yield "</body></html>\n"


def _pipeline(name: str, one: "PipelineStatus", failures: "Sequence[FailureRow]") -> Iterator[str]:
    yield f"<h2>{_html(name)}</h2>"
    words = [f"{n:,} {word}" for word, n in one.items.items() if n]
    eta = f"; about {human_seconds(one.eta_s)} to go" if one.eta_s is not None else ""
    yield f"<p>{sum(one.items.values()):,} items: {', '.join(words) or 'none'}{eta}</p>"
    shown = [word for word, _ in _STATES if one.tasks[word]]
    yield "<table><tr><th>step</th><th></th>"
    yield "".join(f"<th class='n'>{word}</th>" for word in shown) + "</tr>"
    for step, counts in one.steps.items():
        cells = "".join(f"<td class='n'>{counts[word]:,}</td>" for word in shown)
        yield f"<tr><td>{_html(step)}</td><td>{_bar(counts)}</td>{cells}</tr>"
    yield "</table>"
    if failures:
        rows = [
            [
                f"{row.n:,}",
                row.step or "quarantined",
                row.cause + (f" — {row.do}" if row.do else ""),
                ", ".join(row.examples),
            ]
            for row in failures
        ]
        titles = ["failed", "step", "cause", "for example"]
        yield "<h3>Failures by cause</h3>" + _table(titles, rows, numbers={0})


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
