"""The shape of `stoker.toml`: which keys stand where, and what each may hold.

These models know nothing of how keys depend on each other; `spec.build` checks that. The JSON
Schema that editors use is generated from them. They are imported only where a file is read, since
pydantic is slow to load.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator

from stoker.spec.batch_keys import BatchTable
from stoker.spec.notify_keys import Address, MailTable, NotifyTable
from stoker.spec.pipeline_keys import PipelineTable
from stoker.spec.settings_keys import (
    PoolTable,
    ProjectTable,
    RetentionTable,
    SecretsTable,
    SharesTable,
    StoreTable,
    WorkerTable,
    long_pool,
)
from stoker.spec.shapes import Name, Table, explained
from stoker.spec.sites_keys import SiteTable
from stoker.spec.web_keys import WebTable

RESERVED_SECTIONS: tuple[str, ...] = ()


class IncludedFile(Table):
    """A file that the main file includes."""

    pipelines: dict[Name, PipelineTable] = explained(
        "The pipelines, by name.",
        "Each has its own items, and takes them through its own steps.",
        default={},
        example={"spikes": {"steps": {"sort": {"run": "sort-spikes {item} > {out.spikes}"}}}},
    )


class ProjectFile(IncludedFile):
    """The main file."""

    include: list[str] = explained(
        "Globs of further files with pipelines.",
        "Each may hold `[pipelines.*]`. A broken file disables only its own pipelines.",
        default=[],
        example=["people/*.toml"],
    )
    project: ProjectTable = explained(
        "The project as a whole.",
        "It names the project and its site.",
        default=ProjectTable(),
        example={"name": "lab"},
    )
    store: StoreTable = explained(
        "The store: the database that records everything.",
        "All workers that use the same store work on the same queue.",
        default=StoreTable(),
        example={"url": "postgresql+psycopg://stoker@db.example/lab"},
        absent="a SQLite file in `.stoker`",
    )
    worker: WorkerTable = explained(
        "Settings for all workers.",
        "They limit what workers use of their hosts.",
        default=WorkerTable(),
        example={"scratch": "/local/scratch"},
    )
    pools: dict[Name, Annotated[PoolTable, BeforeValidator(long_pool)]] = explained(
        "Slots that all workers share, by name: a number, or a table.",
        "Steps with `pools` run only while enough slots are free.",
        default={},
        example={"ram": 2},
    )
    batch: dict[Name, BatchTable] = explained(
        "Batch systems, by name.",
        "Stoker submits workers to them as jobs, as many as the work needs.",
        default={},
        example={"main": {"system": "slurm", "time_limit": "4h"}},
    )
    sites: dict[Name, SiteTable] = explained(
        "Other places where steps run and that have no store, by name.",
        "Steps with `site` run there.",
        default={},
        example={"lyon": {"folder": "/sps/you/stoker"}},
    )
    shares: SharesTable = explained(
        "How the slots are divided between people, pipelines or files.",
        "It decides which task starts next; running attempts are never stopped for it.",
        default=SharesTable(),
        example={"by": "user"},
    )
    secrets: SecretsTable = explained(
        "Variables of the environment that only some steps get.",
        "All other steps run without them.",
        default=SecretsTable(),
        example={"names": ["ARCHIVE_TOKEN"]},
    )
    retention: RetentionTable = explained(
        "How long records are kept.",
        "Workers delete older ones, a little at a time.",
        default=RetentionTable(),
        example={"logs": "90d"},
        absent="everything is kept for ever",
    )
    web: WebTable = explained(
        "The web service as a whole.",
        "`stoker up` starts it.",
        default=WebTable(),
        example={"url": "https://lab.example.org/stoker/"},
    )
    notify: dict[Name, NotifyTable] = explained(
        "Messages, by name.",
        "They are sent by mail, chat or a command of yours.",
        default={},
        example={"lab": {"to": "lab@example.org"}},
    )
    addresses: dict[str, Address] = explained(
        "Mail addresses of people, by name.",
        "`to` in `[notify]` may use the names.",
        default={},
        example={"anna": "anna@example.org"},
    )
    mail: MailTable = explained(
        "The server that takes mail.",
        "Messages to mail addresses go there.",
        default=MailTable(),
        example={"server": "smtp.example.org:587"},
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of `stoker.toml`, as it is shipped beside this module."""
    schema = ProjectFile.model_json_schema(by_alias=True)
    pairs = (("run", "argv"), ("run", "python"), ("argv", "python"))
    schema["$defs"]["StepTable"]["not"] = {"anyOf": [{"required": list(pair)} for pair in pairs]}
    tidy = {key: _tidy(value) for key, value in schema.items() if key not in _HEAD}
    return _HEAD | tidy


_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "stoker.toml",
    "description": "A project of Stoker: its store, its pools and its pipelines.",
}


def _tidy(schema: Any) -> Any:
    """Return a schema without what TOML cannot say (null) and without generated titles."""
    if isinstance(schema, list):
        return [_tidy(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {key: _tidy(value) for key, value in schema.items() if not _is_noise(key, value)}
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    options = tidy.get("anyOf", [])
    if {"type": "null"} in options:
        options.remove({"type": "null"})
        if len(options) == 1:
            tidy = {**options[0], **{key: tidy[key] for key in tidy if key != "anyOf"}}
    return tidy


def _is_noise(key: str, value: object) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
