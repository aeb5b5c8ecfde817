"""The keys of settings that hold for the whole project: store, workers, pools, shares, retention."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from stoker.model import bounds
from stoker.model.hours import PATTERN as HOURS_PATTERN
from stoker.spec.quantities import parse_time
from stoker.spec.shapes import (
    SLOTS_SCHEMA,
    TIME_SCHEMA,
    VARIABLE_PATTERN,
    Cpus,
    Name,
    ShortTable,
    Size,
    Slots,
    Table,
    Time,
    explained,
    within,
)


class PoolTable(ShortTable):
    """Named slots that all workers share."""

    slots: Slots | None = explained(
        "The number of slots, or their names.",
        "So many attempts that need the pool run at once. An attempt gets the names of its slots in "
        "`{slot.POOL}` and `STOKER_POOL_<NAME>`.",
        example=["0", "1"],
        absent="required",
    )
    per: Literal["host"] | None = explained(
        "Whether the slots are those of each host.",
        'With `"host"`, each host on which a worker runs has so many.',
        example="host",
        absent="all workers share them",
    )
    kind: Literal["gpu"] | None = explained(
        "What the slots are.",
        'With `"gpu"`, an attempt gets `CUDA_VISIBLE_DEVICES` with the names of its slots.',
        example="gpu",
        absent="nothing special",
    )
    between: str | None = explained(
        "The hours of the day within which attempts that need the pool may start.",
        "Others wait; an attempt that runs when the hours end goes on.",
        example="20:00-08:00",
        absent="at any time",
        pattern=HOURS_PATTERN,
    )
    zone: str | None = explained(
        "The time zone of `between`.",
        "All workers then use that zone's clock, wherever they run.",
        example="Europe/Vienna",
        absent="that of the worker's host",
    )
    per_minute: Annotated[int, within(bounds.PER_MINUTE)] | None = explained(
        "How many attempts that need the pool may start in a minute.",
        "Others wait, over all workers together.",
        example=10,
        absent="no limit",
    )

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a pool that is only slots."""
        return SLOTS_SCHEMA


def long_pool(value: object) -> object:
    """Return a pool as a table: slots alone are short for one."""
    is_table = isinstance(value, dict | PoolTable)
    return value if is_table else {"slots": value}


class ProjectTable(Table):
    """The project as a whole."""

    name: str | None = explained(
        "The name of the project.",
        "Pages, reports and messages show it.",
        example="lab",
        absent="the folder's name",
        min_length=1,
    )
    site: Name | None = explained(
        "The name of this site among others.",
        "Attempts record it, and `STOKER_SITE` holds it.",
        example="modane",
        absent="the host's name",
    )


class StoreTable(Table):
    """The store: the database that records everything."""

    url: str = explained(
        "The URL of the database, without a password.",
        "Workers on several hosts need `postgresql+psycopg://…` or `mariadb+pymysql://…`; one host needs "
        "nothing. `${NAME}` stands for a variable of the environment.",
        default="sqlite:///.stoker/stoker.db",
        example="postgresql+psycopg://stoker@db.example/lab",
    )
    password_file: str | None = explained(
        "A file whose first line is the password to the database.",
        "It is refused if others may read it.",
        example="/home/you/.lab-password",
    )
    access: Literal["private", "group"] = explained(
        "The people who may read and write the files in `.stoker`.",
        'With `"group"` these are all members of the group of the project\'s folder; otherwise the owner '
        "alone.",
        default="private",
        example="group",
    )


def _age(state: str) -> Any:
    """Return the key with the age of what ended in a state."""
    return explained(
        f"The age from which on those that are, or ended as, `{state}` are deleted.",
        "Those of other states are not affected.",
        example="30d",
        absent="kept for ever",
    )


class ItemAges(ShortTable):
    """How long items are kept, by their state."""

    done: Time | None = _age("done")
    cancelled: Time | None = _age("cancelled")

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of one time for every state."""
        return TIME_SCHEMA


class AttemptAges(ShortTable):
    """How long records of attempts are kept, by the state in which the attempts ended."""

    succeeded: Time | None = _age("succeeded")
    failed: Time | None = _age("failed")
    timed_out: Time | None = _age("timed_out")
    out_of_memory: Time | None = _age("out_of_memory")
    cancelled: Time | None = _age("cancelled")
    lost: Time | None = _age("lost")

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of one time for every state."""
        return TIME_SCHEMA


def _ages(shape: type[Table]) -> BeforeValidator:
    """One time stands for all states."""

    def long(value: object) -> object:
        if isinstance(value, dict | shape):
            return value
        return dict.fromkeys(shape.model_fields, parse_time(value))

    return BeforeValidator(long)


class RetentionTable(Table):
    """How long records are kept. Nothing is deleted unless a key here says so."""

    items: Annotated[ItemAges, _ages(ItemAges)] = explained(
        "How long items are kept after their last change: one time, or one for each state.",
        "Done and cancelled items of that age are forgotten with their tasks, attempts and logs. "
        "Published files stay.",
        default=ItemAges(),
        example="730d",
        absent="kept for ever",
    )
    attempts: Annotated[AttemptAges, _ages(AttemptAges)] = explained(
        "How long attempts are kept after their end: one time, or one for each state.",
        "Attempts of that age after which the task was tried again are forgotten. The last attempt of each "
        "task stays.",
        default=AttemptAges(),
        example="90d",
        absent="kept for ever",
    )
    logs: Annotated[AttemptAges, _ages(AttemptAges)] = explained(
        "How long stdout and stderr of attempts are kept: one time, or one for each state.",
        "Older texts are deleted; their sizes stay in the record.",
        default=AttemptAges(),
        example={"succeeded": "30d", "failed": "365d"},
        absent="kept for ever",
    )
    journal: Time | None = explained(
        "How long the detailed history of finished items is kept.",
        "An older one is reduced to one row of the journal for each item.",
        example="90d",
        absent="kept for ever",
    )


class HostTable(Table):
    """Settings for workers on some hosts; they replace those of `[worker]`."""

    scratch: str | None = explained(
        "The folder in which each attempt gets a private folder.",
        "Use a fast local disk. The attempt's folder is deleted when the attempt ends.",
        example="/local/scratch",
        absent="`.stoker/scratch`",
    )
    tags: list[Name] | None = explained(
        "What the host offers, in names of your own.",
        "Steps with `needs` run only on workers that have all tags that they need.",
        example=["gpu"],
    )
    cpus: Cpus | None = explained(
        "How many cpus attempts may take on a host, all workers together.",
        "More attempts wait.",
        example=12,
        absent="all cpus of the host",
    )
    memory: Size | None = explained(
        "How much memory attempts may take on a host, all workers together.",
        "Attempts with `memory` start only where so much of it is free.",
        example="64G",
        absent="all memory of the host",
    )


class WorkerTable(HostTable):
    """Settings for all workers."""

    hosts: dict[str, HostTable] = explained(
        "Settings for some hosts, by a glob on the host's name.",
        "A worker on such a host uses them instead of those of `[worker]`.",
        default={},
        example={"node*": {"scratch": "/scratch"}},
    )


class SharesTable(Table):
    """How the slots are divided when several people, pipelines or files have work waiting."""

    by: Literal["user", "pipeline", "file"] | None = explained(
        "What the slots are divided by: the people who registered the items, the pipelines, or the "
        "included files.",
        "Each gets the same time on the cpus while it has tasks waiting; what one does not use goes to "
        "the others.",
        example="user",
        absent="not divided: highest priority first, then the longest task",
    )
    weights: dict[str, Annotated[float, Field(strict=False), within(bounds.WEIGHT)]] = explained(
        "The weight of some of them.",
        "With 2, one gets twice the time of another with 1.",
        default={},
        example={"anna": 2},
        absent="1 for each",
    )


class SecretsTable(Table):
    """Variables of the worker's environment that only some steps get."""

    names: list[Annotated[str, Field(pattern=VARIABLE_PATTERN)]] = explained(
        "The names of the variables.",
        "No step sees them, except those that list them in `secrets`.",
        default=[],
        example=["ARCHIVE_TOKEN"],
    )
