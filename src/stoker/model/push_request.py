"""What a person asks for with one `push`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stoker.model.bounds import PRIORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """Which items to register with a pipeline, and what holds for all of them.

    Items are named by `paths` (for records: by their texts), by the lines of `from_file`, where with
    `nul` a NUL ends each name, and by the rows of `table`; `-` is the standard input. `params` and
    `priority` are those of every item that does not have its own. UserError for a priority out of
    bounds.
    """

    pipeline: str
    paths: tuple[str, ...] = ()
    from_file: str | None = None
    nul: bool = False
    table: str | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    priority: int | None = None
    reason: str | None = None
    dry_run: bool = False
    keeps_keys: bool = False  # so that the answer lists what was registered

    def __post_init__(self) -> None:
        if self.priority is not None:
            PRIORITY.check("priority", self.priority)
