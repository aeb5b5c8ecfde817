"""The frame of these pages: the header with its counters, the rail, and what a template may use."""

import asyncio
import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.access.forgery import form_token
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel import words
from stoker.web.panel.frozen import Freezer
from stoker.web.panel.latest import KEPT_S, Latest, Seen
from stoker.web.panel.templates import environment, link
from stoker.web.people.static_files import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stoker.store.forecasts.activity import Rate
    from stoker.store.reports.offered import Offered
    from stoker.store.status_rows import SlotRow, Status
    from stoker.store.story_rows import FailureRow
    from stoker.web.site import Site

HTML = "text/html; charset=utf-8"
_RAIL = (
    ("overview", "overview", "Overview"),
    ("items", "items", "Items"),
    ("failures", "failures", "Failures"),
    ("timeline", "timeline", "Timeline"),
    ("machines", "machines", "Machines"),
    ("submit", "processes", "Submit"),
    ("sources", "sources", "Sources"),
    ("journal", "journal", "Journal"),
    ("settings", "settings", "Settings"),
)
LONGEST_S = 15.0  # pages look by themselves as often
_FOR_ADMINS = (("people", "people", "Users"),)


class Panel:
    """What the pages of one process share: the newest counts, failures, pipelines and slots.

    Also what pages have asked whether to do. The newest are shown also while the store is away, with their age.
    """

    def __init__(self, site: "Site") -> None:
        self.status: Latest[Status] = Latest(site, site.project.status)
        self.failures: Latest[Sequence[FailureRow]] = Latest(site, site.project.failures)
        self.offered: Latest[Mapping[str, Offered]] = Latest(site, site.offered)
        self.slots: Latest[Sequence[SlotRow]] = Latest(site, site.project.slots)
        self.rates: Latest[Mapping[str, Sequence[Rate]]] = Latest(site, site.project.history.rates)
        self.load: Latest[Mapping[str, Sequence[float]]] = Latest(site, site.project.history.load)
        self._all: tuple[Latest[Any], ...] = (
            self.status,
            self.failures,
            self.offered,
            self.slots,
            self.rates,
            self.load,
        )
        self.frozen = Freezer()
        self._site = site
        self._renewed, self._renewed_s = 0, float("-inf")

    async def renewed(self, number: int) -> None:
        """Pages show what has happened up to this number of the journal.

        That is at most once a second, and where answers take long to read, as often as all of them may
        be read again. All streams of the process share this, so that many browsers cost the store what
        one costs.
        """
        since_s = self._site.now_s()
        due_s = max(self._renewed_s + KEPT_S, *(one.due_s for one in self._all))
        wait_s = min(due_s - since_s, LONGEST_S)
        if number > self._renewed and wait_s > 0:
            await asyncio.sleep(wait_s)
        if number > self._renewed:
            self._renewed, self._renewed_s = number, self._site.now_s()
            for one in self._all:
                one.renew(since_s)

    def expire(self) -> None:
        """Something was changed here: the next page shows it."""
        for one in self._all:
            one.expire()


def panel_of(request: Request) -> Panel:
    """Return what the pages of this process share."""
    panel: Panel = request.app.state.panel
    return panel


async def panel_page(
    request: Request, template: str, *, active: str = "", status: int = 200, **values: Any
) -> Response:
    """Return the page. Its header has the newest counts, or the last ones where the store is away."""
    counts: Seen[Status] = await panel_of(request).status.get()
    site, caller, now = site_of(request), caller_of(request), datetime.now(UTC)
    text = (
        environment()
        .get_template(f"panel/{template}")
        .render(
            base=site.links.path,
            static=address_of,
            project=site.settings.name,
            caller=caller,
            form_token=functools.partial(form_token, request),
            may_repair=caller.may(Need.OPERATOR) and counts.trouble is None,
            ago=functools.partial(words.ago, now=now),
            now=now,
            is_report=False,
            rail=_RAIL + (_FOR_ADMINS if caller.may(Need.ADMIN) else ()),
            may_manage=caller.may(Need.ADMIN) and counts.trouble is None,
            active=active,
            counters=_counters(counts.value),
            counted_at=counts.at,
            away=counts.trouble,
            here=site.links.path + request.scope["path"].lstrip("/"),
            **values,
        )
    )
    headers = {"Cache-Control": "no-store", "Vary": "Accept, Cookie"}
    return Response(text.encode("utf-8", "backslashreplace"), status, headers, media_type=HTML)


def _counters(status: "Status") -> list[tuple[words.Look, int, str]]:
    """Return how many items run, have failed and are held, each with where they are listed."""
    found = []
    for word in ("running", "failed", "held"):
        n = sum(one.items.get(word, 0) for one in status.pipelines.values())
        where = "failures" if word == "failed" else link("items", state=word)
        found.append((words.look_of(word), n, where))
    return found
