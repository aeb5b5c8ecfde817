"""Groups and error folders in the chaos: what is declared, and what must hold of them at its end.

Some items fail for good until somebody has mended the tool, so that groups complete without them, and
with them later. Each member leaves the name of the attempt by which it was done last; what a group was
made of must be what its members hold at rest.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from faults.check import Scene, Violation
from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.ids import text_of

MENDED = "mended"  # a file in the project's folder: from then on nothing fails for good
ERRORS = "errors"  # the folder of error folders
ERROR_FOLDER = f'error_folder = {{ to = "{ERRORS}/{{key}}/", from = ["*"] }}\n'
STEPS = """
[pipelines.p.steps.frail]
after = ["brief"]
retries = 0
run = '''
LIFE
tick start
echo "$STOKER_ATTEMPT" > note
printf '{"attempt": "%s"}' "$STOKER_ATTEMPT" > "$STOKER_VALUES"
case {key} in *[37]) test -e HERE/MENDED;; esac
'''

[pipelines.sums]
items = "groups"
[pipelines.sums.defaults]
retries = 1000
backoff = "0.1s"
[pipelines.sums.sources.members]
pipeline = "p"
group_by = "{meta.group}"
settle = "0.5s"
allow_failed = true
[pipelines.sums.steps.merge]
run = '''
LIFE
live 3
cp {members} {out.list}
tick end
'''
outputs.list = "sums/{key}.jsonl"
""".replace("MENDED", MENDED)

_T, _I, _M, _G, _S, _P, _O = (
    tables.task, tables.item, tables.member, tables.item_group, tables.step, tables.pipeline,
    tables.output,
)  # fmt: skip


def error_folders(folder: Path) -> list[Path]:
    """Return those that are there."""
    return sorted(folder.glob(f"{ERRORS}/*"))


def complete(scene: Scene) -> int:
    """Return how many groups are complete, or were."""
    return len(scene.rows(select(_G.c.id).where(_G.c.told_us.is_not(None))))


def check(scene: Scene) -> list[Violation]:
    """Return every broken promise, once everything is done."""
    return [Violation(one.__name__, text) for one in (groups, errors) for text in one(scene)]


def groups(scene: Scene) -> Iterator[str]:
    """Each member is in one group, and each group was made of its members as they are."""
    wanted: dict[str, dict[str, str]] = defaultdict(dict)
    query = (
        select(_G.c.key, _I.c.key.label("member"), _T.c.attempt, _T.c.state)
        .select_from(
            _M.join(_G, _G.c.id == _M.c.group_id)
            .join(_I, _I.c.id == _M.c.item_id)
            .join(_T, _T.c.item_id == _I.c.id)
            .join(_S, _S.c.id == _T.c.step_id)
        )
        .where(_S.c.name == "frail")
    )
    for row in scene.rows(query):
        if row.state != TaskState.DONE:
            yield f"member `{row.member}` of `{row.key}` is {TaskState(row.state).word}"
        wanted[row.key][row.member] = text_of(row.attempt)
    members = [member for several in wanted.values() for member in several]
    items = select(_I.c.key).join(_P, _P.c.id == _I.c.pipeline_id).where(_P.c.name == "p")
    if sorted(members) != sorted(row.key for row in scene.rows(items)):
        yield f"{len(members)} members are in groups, and there are other items than these"
    found = _merged(scene)
    for key in sorted(set(wanted) | set(found)):
        if wanted.get(key) != found.get(key):
            yield f"group `{key}` was made of {found.get(key)}, and its members are {wanted.get(key)}"


def _merged(scene: Scene) -> dict[str, dict[str, str]]:
    """Return, by group, the attempt of each member as it stood in the list that the group was made of."""
    query = (
        select(_I.c.key, _O.c.path)
        .select_from(
            _T.join(_O, _O.c.attempt == _T.c.attempt)
            .join(_I, _I.c.id == _T.c.item_id)
            .join(_S, _S.c.id == _T.c.step_id)
        )
        .where(_S.c.name == "merge", _T.c.state == TaskState.DONE.value)
    )
    found: dict[str, dict[str, str]] = {}
    for row in scene.rows(query):
        lines = Path(os.fsdecode(row.path)).read_text().splitlines()
        several = {one["key"]: one for one in map(json.loads, lines)}
        found[row.key] = {
            key: one["values"].get("frail", {}).get("attempt", one["state"])
            for key, one in several.items()
        }
    return found


def errors(scene: Scene) -> Iterator[str]:
    """Items that are done after all have no error folder."""
    for path in error_folders(scene.folder):
        yield f"`{path}` is left, and everything is done"
