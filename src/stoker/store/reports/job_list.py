"""Lists of jobs: newest first, chosen by what clients may ask for, in pages that count nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.store import web_tables
from stoker.store.catalog import catalog
from stoker.store.reports.jobs import Job, jobs_of, submitted

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit

WordOf = Callable[[Job], str]  # the word for a job's state

_B = web_tables.job
_AT_ONCE = 200  # jobs that are looked at in a transaction
_MOST = 10_000  # that are looked at for one page


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are wanted; everything given must hold.

    `by` is the user whose jobs they are. `after` and `before` are times of submission, both included;
    `words` are those of `word_of`, and durations are in seconds.
    """

    pipelines: tuple[str, ...] | None = None
    words: tuple[str, ...] = ()
    from_us: int | None = None
    to_us: int | None = None
    least_s: float | None = None
    most_s: float | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first. `older` and `newer` are where the next pages begin; None: no more."""

    jobs: Sequence[Job]
    older: int | None
    newer: int | None


def page_of_jobs(
    store: "Store",
    wanted: JobFilter,
    *,
    word_of: WordOf,
    limit: int,
    older_than: int | None = None,
    newer_than: int | None = None,
) -> JobPage:
    """Return at most `limit` jobs below or above a place in the list.

    A page may have few jobs, or none, and not be the last: how many are looked at is bounded.
    """
    is_back = newer_than is not None
    place, found, seen, is_last = (newer_than if is_back else older_than), list[Job](), 0, False
    while not is_last and seen < _MOST and len(found) <= limit:
        with store.reading() as unit:
            rows = unit.execute(_query(unit, wanted, place, is_back=is_back)).fetchall()
            jobs = jobs_of(unit, [submitted(row) for row in rows])
            now_us = unit.now_us
        is_last = len(rows) < _AT_ONCE
        seen += len(rows)
        place = rows[-1].id if rows else place
        found += [one for one in jobs if _is_wanted(one, wanted, word_of, now_us)]
    is_more = len(found) > limit or not is_last
    shown = found[:limit]
    end = shown[-1].number if len(found) > limit else place
    further = end if is_more else None
    if not is_back:
        first = shown[0].number if shown else older_than
        return JobPage(shown, older=further, newer=first if older_than is not None else None)
    last = shown[0].number if shown else newer_than
    return JobPage(shown[::-1], older=last, newer=further)


def _query(unit: "Unit", wanted: JobFilter, place: int | None, *, is_back: bool) -> Any:
    query = select(_B).where(_B.c.removed_us.is_(None))
    if wanted.pipelines is not None:
        ids = catalog(unit).pipeline_ids
        query = query.where(
            _B.c.pipeline_id.in_([ids[name] for name in wanted.pipelines if name in ids])
        )
    if wanted.by is not None:
        query = query.where(_B.c.by_user == wanted.by)
    if wanted.from_us is not None:
        query = query.where(_B.c.at_us >= wanted.from_us)
    if wanted.to_us is not None:
        query = query.where(_B.c.at_us <= wanted.to_us)
    if place is not None:
        query = query.where(_B.c.id > place if is_back else _B.c.id < place)
    return query.order_by(_B.c.id if is_back else _B.c.id.desc()).limit(_AT_ONCE)


def _is_wanted(job: Job, wanted: JobFilter, word_of: WordOf, now_us: int) -> bool:
    if wanted.words and word_of(job) not in wanted.words:
        return False
    if wanted.least_s is None and wanted.most_s is None:
        return True
    if job.started_at is None:
        return "accepted" in wanted.words
    ended_s = job.ended_at.timestamp() if job.ended_at is not None else now_us / 1e6
    duration_s = ended_s - job.started_at.timestamp()
    is_long = wanted.least_s is None or duration_s >= wanted.least_s
    return is_long and (wanted.most_s is None or duration_s <= wanted.most_s)
