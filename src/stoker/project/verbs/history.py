"""The verbs on what hosts and steps did over time, as `project.history`."""

from typing import TYPE_CHECKING

from stoker.project.parts import Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stoker.project.verbs.versions import Versions
    from stoker.store.forecasts.activity import Rate
    from stoker.store.reports.durations import StepDurations
    from stoker.store.reports.idle import Gap
    from stoker.store.reports.timeline import Timeline

FOLD_LIMIT_S = 1.0


class History(Part):
    """What was done when, and where; times are microseconds since 1970, UTC."""

    @property
    def versions(self) -> "Versions":
        """The versions of pipelines that the store has taken over, and what the file says now."""
        from stoker.project.verbs.versions import Versions

        return Versions(self._project)

    def extent(self) -> tuple[int | None, int]:
        """Return when the first attempt was claimed (None: none was), and the time now."""
        from stoker.store.reports.timeline import extent

        return extent(self._project.store)

    def timeline(
        self, begin_us: int, end_us: int, *, by_step: bool = False, after: str | None = None
    ) -> "Timeline":
        """Return what hosts, or steps, did in the window; those behind `after`, by name."""
        from stoker.store.reports.timeline import timeline

        return timeline(self._project.store, begin_us, end_us, by_step=by_step, after=after)

    def gaps(self, seen: "Timeline") -> "dict[str, list[Gap]]":
        """Return the longest times in which each host of that timeline did nothing, and why."""
        from stoker.store.reports.idle import gaps_of

        return gaps_of(self._project.store, seen)

    def durations(self, pipeline: str) -> "list[StepDurations]":
        """Return how long the steps of the pipeline take, and how much memory they use.

        As far as that has been learned: workers and `status` learn.
        """
        from stoker.store.reports.durations import durations

        return durations(self._project.store, pipeline)

    def load(self, *, hours: int = 24) -> "Mapping[str, Sequence[float]]":
        """Return how many attempts ran at once in each of the last hours on hosts with a worker."""
        from stoker.store.reports.host_load import host_load

        return host_load(self._project.store, hours=hours)

    def rates(self, *, hours: int = 24) -> "Mapping[str, Sequence[Rate]]":
        """Return for each pipeline what ended in each of the last hours, the present one last."""
        from stoker.store.forecasts.activity import rates
        from stoker.store.forecasts.freshness import LEARN_LIMIT_S, catch_up

        catch_up(self._project.store, fold_s=FOLD_LIMIT_S, activity_s=LEARN_LIMIT_S)
        return rates(self._project.store, hours=hours)
