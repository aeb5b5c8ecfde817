"""Steps as the store knows them at one moment: values, read and kept by `catalog`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stoker.model.id_types import VersionId
from stoker.model.sharing import Sharing

if TYPE_CHECKING:
    from stoker.model.pipeline import Step

LaneKey = tuple[int, str, str]  # memory level, who pushed the item, the only host or nothing


@dataclass(frozen=True, slots=True)
class StepEntry:
    """A step of a pipeline's current version, or one that was removed (then `spec` is None)."""

    id: int
    pipeline_id: int
    pipeline: str
    name: str
    position: int
    body_id: int
    body_hash: str
    spec: "Step | None"
    site: int
    is_foreign: bool = False  # another site's than the store's own: nothing here changes its tasks
    outpost: str | None = None  # where its tasks run, if not here
    predecessors: tuple[int, ...] = ()
    successors: tuple[int, ...] = ()
    patterns: Mapping[int, int] = field(default_factory=dict)  # memory level -> the pattern's id
    lanes: Mapping[LaneKey, int] = field(default_factory=dict)
    together: tuple[int, ...] = ()  # the steps, itself among them, that stay on one host with it

    def pattern_at(self, level: int) -> int:
        """The id of the lane from which others at that memory level are made."""
        return self.patterns[min(level, len(self.patterns) - 1)]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The steps and current versions of all pipelines at one moment."""

    newest_version: int  # of the pipelines, and of what is shared
    sharing: Sharing
    steps: Mapping[int, StepEntry]
    by_lane: Mapping[int, StepEntry]
    by_name: Mapping[tuple[str, str], StepEntry]
    current: Mapping[str, VersionId]  # pipeline -> version id
    numbers: Mapping[str, int]  # pipeline -> the number of that version
    pipeline_ids: Mapping[str, int]
    notes: dict[Any, Any] = field(default_factory=dict, compare=False)  # what was found out from it

    @property
    def foreign_ids(self) -> list[int]:
        """The ids of the steps whose tasks another site alone changes."""
        return [entry.id for entry in self.steps.values() if entry.is_foreign]

    def others(self, site: int) -> frozenset[tuple[str, str]]:
        """The steps, by pipeline and name, that do not belong to that site."""
        return frozenset(name for name, entry in self.by_name.items() if entry.site != site)

    def of_pipeline(self, pipeline: str) -> tuple[StepEntry, ...]:
        """The steps in the current version, predecessors first."""
        found = (s for s in self.steps.values() if s.pipeline == pipeline and s.spec is not None)
        return tuple(sorted(found, key=lambda entry: entry.position))
