"""The JSON that each command prints with `--json`: its type, and whether one object or many lines.

The reference of the JSON is generated from this table, and the tests validate with it what commands
print. No command loads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.project.answers import (
    AdoptAnswer,
    ChangeAnswer,
    CheckAnswer,
    CopyAnswer,
    LogAnswer,
    PoolAnswer,
    PruneAnswer,
    PushAnswer,
    RunAnswer,
    UpgradeAnswer,
)
from stoker.project.checkup import Finding
from stoker.project.planning import Plan
from stoker.store.database.disk_usage import Extent
from stoker.store.database.invariants import Checked
from stoker.store.database.upgrade import Made
from stoker.store.rows import (
    AttemptRow,
    FailureRow,
    ItemRow,
    SlotRow,
    Status,
    Story,
    TaskRow,
    Why,
    WorkerRow,
)


@dataclass(frozen=True, slots=True)
class Output:
    """The JSON of one command: an object of the type `kind`, or one such object a line."""

    kind: type
    is_lines: bool = False


def schema_of(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of a dataclass as it is printed: every field is there, always."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(kind).json_schema(mode="serialization")
    for one in (schema, *schema.get("$defs", {}).values()):
        if "properties" in one:
            one["required"] = list(one["properties"])
            for field in one["properties"].values():
                field.pop("title", None)
    return schema


OUTPUTS: Mapping[str, Output] = {
    "check": Output(CheckAnswer),
    "push": Output(PushAnswer),
    "plan": Output(Plan),
    "adopt": Output(AdoptAnswer),
    "run": Output(RunAnswer),
    "run --dry-run": Output(Plan),
    "status": Output(Status),
    "items": Output(ItemRow, is_lines=True),
    "tasks": Output(TaskRow, is_lines=True),
    "attempts": Output(AttemptRow, is_lines=True),
    "show": Output(Story),
    "logs": Output(LogAnswer),
    "failures": Output(FailureRow, is_lines=True),
    "why": Output(Why),
    "which": Output(AttemptRow),
    "retry": Output(ChangeAnswer, is_lines=True),
    "rerun": Output(ChangeAnswer, is_lines=True),
    "cancel": Output(ChangeAnswer, is_lines=True),
    "hold": Output(ChangeAnswer, is_lines=True),
    "release": Output(ChangeAnswer, is_lines=True),
    "pool list": Output(SlotRow, is_lines=True),
    "pool set": Output(PoolAnswer),
    "workers": Output(WorkerRow, is_lines=True),
    "prune": Output(PruneAnswer),
    "doctor": Output(Finding, is_lines=True),
    "store create": Output(Made),
    "store check": Output(Checked, is_lines=True),
    "store upgrade": Output(UpgradeAnswer),
    "store copy": Output(CopyAnswer),
    "store backup": Output(CopyAnswer),
    "store restore": Output(CopyAnswer),
    "store size": Output(Extent),
}
