"""The JSON that each command prints with `--json`: its type, and whether one object or many lines.

The reference of the JSON is generated from this table, and the tests validate with it what commands
print. No command loads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.outpost.visited import Visited
from stoker.project.answers import (
    AdoptAnswer,
    ChangeAnswer,
    CheckAnswer,
    CopyAnswer,
    LinkAnswer,
    LogAnswer,
    NotifyAnswer,
    PoolAnswer,
    PruneAnswer,
    PushAnswer,
    RunAnswer,
    TokenAnswer,
    TriedAnswer,
    UpgradeAnswer,
    UserAnswer,
    ValueAnswer,
)
from stoker.project.checks.finding import Finding
from stoker.project.plans.planning import Plan
from stoker.project.verbs.batch import BatchAnswer, PilotLog, TrialAnswer
from stoker.project.verbs.sites import SiteAnswer
from stoker.project.verbs.verifying import OutputProblem
from stoker.store.access.rows import TokenRow, UserRow
from stoker.store.batch_rows import PilotRow
from stoker.store.database.disk_usage import Extent
from stoker.store.database.invariants import Checked
from stoker.store.database.upgrade import Made
from stoker.store.groups.rows import GroupClosed, GroupRow, GroupStory
from stoker.store.rows import AttemptRow, ItemRow, MakerRow, TaskRow
from stoker.store.site_rows import SiteStatus
from stoker.store.status_rows import SlotRow, Status, WorkerRow
from stoker.store.story_rows import FailureRow, Story, Why
from stoker.transfer.copy import Transferred
from stoker.transfer.listed import TransferredList
from stoker.volumes.locate import Located
from stoker.volumes.pack import Packed
from stoker.volumes.verify import Verified


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
    "verify": Output(OutputProblem, is_lines=True),
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
    "values": Output(ValueAnswer, is_lines=True),
    "transfer": Output(Transferred),
    "transfer --files-from": Output(TransferredList),
    "notify list": Output(NotifyAnswer, is_lines=True),
    "notify try": Output(TriedAnswer),
    "which": Output(MakerRow),
    "retry": Output(ChangeAnswer, is_lines=True),
    "rerun": Output(ChangeAnswer, is_lines=True),
    "cancel": Output(ChangeAnswer, is_lines=True),
    "hold": Output(ChangeAnswer, is_lines=True),
    "release": Output(ChangeAnswer, is_lines=True),
    "priority": Output(ChangeAnswer, is_lines=True),
    "pool list": Output(SlotRow, is_lines=True),
    "pool set": Output(PoolAnswer),
    "workers": Output(WorkerRow, is_lines=True),
    "group list": Output(GroupRow, is_lines=True),
    "group show": Output(GroupStory),
    "group close": Output(GroupClosed),
    "volume pack": Output(Packed),
    "volume verify": Output(Verified),
    "volume locate": Output(Located, is_lines=True),
    "batch list": Output(PilotRow, is_lines=True),
    "batch logs": Output(PilotLog),
    "batch try": Output(TrialAnswer),
    "batch hold": Output(BatchAnswer),
    "batch release": Output(BatchAnswer),
    "batch cancel": Output(BatchAnswer),
    "site list": Output(SiteStatus, is_lines=True),
    "site show": Output(SiteStatus),
    "site visit": Output(Visited, is_lines=True),
    "site hold": Output(SiteAnswer),
    "site release": Output(SiteAnswer),
    "site drop": Output(SiteAnswer),
    "user create": Output(UserAnswer),
    "user list": Output(UserRow, is_lines=True),
    "user set": Output(UserAnswer),
    "user remove": Output(UserAnswer),
    "user link": Output(LinkAnswer),
    "token create": Output(TokenAnswer),
    "token list": Output(TokenRow, is_lines=True),
    "token revoke": Output(TokenAnswer),
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
