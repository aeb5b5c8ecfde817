"""Counts for Prometheus: from the store's tallies, and from the journal since this process began.

Nothing here counts rows. A scrape costs the same however many items there are.
"""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.answers import site_of
from stoker.web.needs import Need
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from stoker.web.site import Site

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 259_200)


class Metrics:
    """The counters of one process; `text` brings them up to date."""

    def __init__(self, site: "Site") -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._site = site
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        names = ("pipeline", "step", "state")
        self._ended = Counter(
            "stoker_attempts", "Attempts that ended", names, registry=self._registry
        )
        self._durations = Histogram(
            "stoker_attempt_duration_seconds",
            "How long attempts took",
            names[:2],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._after: int | None = None

    def start(self) -> None:
        """Attempts that end from now on are counted. Call in a thread."""
        from stoker.store.reports.ends import newest

        with self._lock:
            if self._after is None:
                self._after = newest(self._site.project.store)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format. Call in a thread."""
        from prometheus_client import generate_latest

        self.start()
        with self._lock:
            self._count_ends()
            made: bytes = generate_latest(self._registry)
        return made

    def _count_ends(self) -> None:
        from stoker.store.reports.ends import ends_after

        for after, ends in ends_after(self._site.project.store, self._after or 0):
            for end in ends:
                self._ended.labels(end.pipeline, end.step, end.state).inc()
                if end.duration_s is not None:
                    self._durations.labels(end.pipeline, end.step).observe(end.duration_s)
            self._after = after

    def collect(self) -> Iterable[Any]:
        """Yield the gauges, as Prometheus's library asks for them."""
        from prometheus_client.core import GaugeMetricFamily

        status = self._site.project.status()
        items = GaugeMetricFamily("stoker_items", "Items", labels=["pipeline", "state"])
        tasks = GaugeMetricFamily("stoker_tasks", "Tasks", labels=["pipeline", "step", "state"])
        for name, pipeline in status.pipelines.items():
            for state, n in pipeline.items.items():
                items.add_metric([name, state], n)
            for step, counts in pipeline.steps.items():
                for state, n in counts.items():
                    tasks.add_metric([name, step, state], n)
        yield items
        yield tasks
        slots = GaugeMetricFamily("stoker_pool_slots", "Slots of a pool", labels=["pool"])
        used = GaugeMetricFamily("stoker_pool_slots_used", "Slots held", labels=["pool"])
        for name, pool in status.pools.items():
            slots.add_metric([name], pool.slots)
            used.add_metric([name], pool.used)
        yield slots
        yield used
        alive = status.workers
        yield GaugeMetricFamily(
            "stoker_slots", "Slots of all workers", value=sum(one.slots for one in alive)
        )
        yield GaugeMetricFamily(
            "stoker_slots_used", "Attempts that run", value=sum(one.running for one in alive)
        )
        workers = GaugeMetricFamily("stoker_workers", "Workers", labels=["state"])
        workers.add_metric(["alive"], len(alive))
        yield workers
        pilots = GaugeMetricFamily("stoker_pilots", "Pilots", labels=["batch", "state"])
        for name, batch in status.batch.items():
            pilots.add_metric([name, "running"], batch.running)
            pilots.add_metric([name, "waiting"], batch.waiting)
        yield pilots


async def _metrics(request: Request) -> Response:
    site = site_of(request)
    metrics: Metrics = request.app.state.metrics
    return Response(await site.call(metrics.text), media_type=MEDIA)


RESOURCES = [
    Resource(
        "/metrics",
        {"GET": Operation(handle=_metrics, need=Need.VIEWER, summary="Counts for Prometheus")},
        name="metrics",
    )
]
