"""The first schema: every table of the store, and views with words and times for people."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None


BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTEWISE = (
    sa.String(length=1000)
    .with_variant(sa.String(1000, collation="C"), "postgresql")
    .with_variant(mysql.VARBINARY(1000), "mariadb")
)
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mariadb")
HEAD = sa.LargeBinary(length=255).with_variant(mysql.VARBINARY(255), "mariadb")
ID16 = sa.LargeBinary(length=16).with_variant(mysql.BINARY(16), "mariadb")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}

_TASK = ("blocked", "ready", "running", "held", "done", "skipped", "failed", "cancelled")
_ATTEMPT = ("running", "succeeded", "failed", "timed_out", "out_of_memory", "cancelled", "lost")
_ITEM = ("quarantined", "running", "held", "failed", "cancelled", "waiting", "done")
_WORKER = ("alive", "ended", "dead")
# In words in which SQLite recognizes each of these states alone.
SELDOM_ATTEMPT = "state = 2 OR state = 3 OR state = 4 OR state = 5 OR state = 6"


def _word(column: str, words: tuple[str, ...]) -> str:
    """The number in `column` as the word that people know it by."""
    cases = " ".join(f"WHEN {number} THEN '{word}'" for number, word in enumerate(words))
    return f"CASE {column} {cases} END"


class _Sql(NamedTuple):
    """How a database writes what people read: a time, an id, text kept as bytes, a key."""

    time_: str
    id_: str
    text_: str
    key_: str

    def time(self, column: str) -> str:
        """Microseconds since the epoch as a time in UTC."""
        return self.time_.format(column)

    def id(self, column: str) -> str:
        """The bytes of an id as hexadecimal digits."""
        return self.id_.format(column)

    def text(self, column: str) -> str:
        """Bytes as the text that they nearly always are."""
        return self.text_.format(column)

    def key(self, column: str) -> str:
        """An item's key."""
        return self.key_.format(column)


SQL = {
    "sqlite": _Sql(
        "strftime('%Y-%m-%dT%H:%M:%fZ', {} / 1000000.0, 'unixepoch')",
        "lower(hex({}))",
        "CAST({} AS TEXT)",
        "{}",
    ),
    "postgresql": _Sql(
        "(timestamptz 'epoch' + {} * interval '1 microsecond')",
        "encode({}, 'hex')",
        "readable({})",
        "{}",
    ),
    "mariadb": _Sql(
        "timestampadd(MICROSECOND, {}, '1970-01-01 00:00:00')",
        "lower(hex({}))",
        "convert({} USING utf8mb4)",
        "convert({} USING utf8mb4) AS `key`",
    ),
}
# Bytes that are no UTF-8 must not make a whole view unreadable.
READABLE = """
    CREATE OR REPLACE FUNCTION readable(bytes bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        RETURN convert_from(bytes, 'UTF8');
    EXCEPTION WHEN OTHERS THEN
        RETURN encode(bytes, 'escape');
    END $$"""


def _views(sql: _Sql) -> Iterator[tuple[str, str]]:
    yield (
        "items",
        f"""
        SELECT p.name AS pipeline, {sql.key("i.key")}, {_word("i.state", _ITEM)} AS state,
            {sql.text("i.path")} AS path, i.params, i.meta, i.size_bytes, i.generation, i.priority,
            i.by_user, {sql.time("i.registered_us")} AS registered_at, i.id
        FROM item i JOIN pipeline p ON p.id = i.pipeline_id""",
    )
    yield (
        "tasks",
        f"""
        SELECT p.name AS pipeline, {sql.key("i.key")}, s.name AS step, {_word("t.state", _TASK)} AS state,
            t.number AS attempts, t.waiting_on, {sql.time("t.not_before_us")} AS not_before,
            {sql.id("t.attempt")} AS attempt, coalesce(a.reason, t.reason) AS reason, t.id
        FROM task t JOIN item i ON i.id = t.item_id JOIN pipeline p ON p.id = i.pipeline_id
            JOIN step s ON s.id = t.step_id LEFT JOIN attempt a ON a.id = t.attempt""",
    )
    yield (
        "attempts",
        f"""
        SELECT {sql.id("a.id")} AS attempt, p.name AS pipeline, {sql.key("i.key")}, s.name AS step, a.number,
            {_word("a.state", _ATTEMPT)} AS state, w.host, w.name AS worker, a.pid, a.batch_id,
            {sql.time("a.claimed_us")} AS claimed_at, {sql.time("a.started_us")} AS started_at,
            {sql.time("a.publishing_us")} AS publishing_at, {sql.time("a.ended_us")} AS ended_at, a.exit_code, a.signal,
            a.user_us / 1000000.0 AS user_s, a.system_us / 1000000.0 AS system_s,
            a.max_rss_bytes, a.command, a.reason, a.cause, a.step_values,
            {sql.text("a.stdout_text")} AS stdout, {sql.text("a.stderr_text")} AS stderr
        FROM attempt a JOIN task t ON t.id = a.task_id JOIN item i ON i.id = t.item_id
            JOIN pipeline p ON p.id = i.pipeline_id JOIN step s ON s.id = t.step_id
            LEFT JOIN worker w ON w.id = a.worker_id""",
    )
    yield (
        "outputs",
        f"""
        SELECT {sql.id("o.attempt")} AS attempt, o.name, p.name AS place, {sql.text("o.path")} AS path,
            o.size_bytes, o.checksum
        FROM output o LEFT JOIN place p ON p.id = o.place""",
    )
    yield (
        "workers",
        f"""
        SELECT w.id, w.name, w.host, w.pid, {_word("w.state", _WORKER)} AS state, w.slots, w.batch_id,
            {sql.time("w.started_us")} AS started_at,
            {sql.time("w.lease_until_us")} AS lease_until, w.trouble
        FROM worker w""",
    )
    yield (
        "events",
        f"""
        SELECT j.seq, {sql.time("j.at_us")} AS at, j.event, j.pipeline, {sql.key("j.key")}, j.step,
            {_word("j.from_state", _TASK)} AS from_state, {_word("j.to_state", _TASK)} AS to_state,
            {sql.id("j.attempt")} AS attempt, j.n, j.data
        FROM journal j""",
    )


def upgrade() -> None:
    """Make every table, then the views."""
    dialect = op.get_bind().dialect
    if dialect.name != "sqlite":
        op.execute("CREATE SEQUENCE IF NOT EXISTS item_block")
    op.create_table(
        "attempt",
        sa.Column("id", ID16, nullable=False),
        sa.Column("task_id", BIG, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("worker_id", sa.Integer(), nullable=True),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("consumed", LONG, nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("claimed_us", BIG, nullable=False),
        sa.Column("started_us", BIG, nullable=True),
        sa.Column("publishing_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("batch_id", sa.String(length=200), nullable=True),
        sa.Column("command", LONG, nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.SmallInteger(), nullable=True),
        sa.Column("user_us", BIG, nullable=True),
        sa.Column("system_us", BIG, nullable=True),
        sa.Column("max_rss_bytes", BIG, nullable=True),
        sa.Column("stdout_size", BIG, nullable=True),
        sa.Column("stdout_truncated", sa.Boolean(), nullable=True),
        sa.Column("stdout_path", BYTES, nullable=True),
        sa.Column("stdout_text", BYTES, nullable=True),
        sa.Column("stderr_size", BIG, nullable=True),
        sa.Column("stderr_truncated", sa.Boolean(), nullable=True),
        sa.Column("stderr_path", BYTES, nullable=True),
        sa.Column("stderr_text", BYTES, nullable=True),
        sa.Column("step_values", LONG, nullable=True),
        sa.Column("reason", LONG, nullable=True),
        sa.Column("cause", LONG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("attempt_pkey")),
        sqlite_with_rowid=False,
        **TABLE,
    )
    op.create_index(
        "attempt_running",
        "attempt",
        ["state", "worker_id"],
        unique=False,
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
        if_not_exists=True,
    )
    op.create_index(
        op.f("attempt_task_id"), "attempt", ["task_id"], unique=False, if_not_exists=True
    )
    op.create_table(
        "journal",
        sa.Column("id", BIG, nullable=False),
        sa.Column("origin", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", BIG, nullable=True),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("received_us", BIG, nullable=True),
        sa.Column("v", sa.SmallInteger(), nullable=False),
        sa.Column("event", sa.String(length=200), nullable=False),
        sa.Column("pipeline", sa.String(length=200), nullable=True),
        sa.Column("key", BYTEWISE, nullable=True),
        sa.Column("step", sa.String(length=200), nullable=True),
        sa.Column("attempt", ID16, nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("from_state", sa.SmallInteger(), nullable=True),
        sa.Column("to_state", sa.SmallInteger(), nullable=True),
        sa.Column("body", sa.String(length=64), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("data", LONG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("journal_pkey")),
        **TABLE,
    )
    op.create_index(
        "journal_seq",
        "journal",
        ["origin", "epoch", "seq"],
        unique=True,
        sqlite_where=sa.text("seq IS NOT NULL"),
        postgresql_where=sa.text("seq IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "output",
        sa.Column("attempt", ID16, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", BYTES, nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("checksum", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("attempt", "name", "position", name=op.f("output_pkey")),
        sqlite_with_rowid=False,
        **TABLE,
    )
    op.create_table(
        "place",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("place_pkey")),
        sa.UniqueConstraint("name", name=op.f("place_name_key")),
        **TABLE,
    )
    op.create_table(
        "pipeline",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("items", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pipeline_pkey")),
        sa.UniqueConstraint("name", name=op.f("pipeline_name_key")),
        **TABLE,
    )
    _published()
    op.create_table(
        "sharing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("data", LONG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("sharing_pkey")),
        **TABLE,
    )
    op.create_table(
        "temporary",
        sa.Column("attempt", ID16, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("task_id", BIG, nullable=False),
        sa.Column("path", BYTES, nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("removed_us", BIG, nullable=True),
        sa.Column("kept", BYTES, nullable=True),
        sa.PrimaryKeyConstraint("attempt", "name", "position", name=op.f("temporary_pkey")),
        sqlite_with_rowid=False,
        **TABLE,
    )
    op.create_index(
        op.f("temporary_task_id"), "temporary", ["task_id"], unique=False, if_not_exists=True
    )
    op.create_table(
        "waste",
        sa.Column("id", BIG, nullable=False),
        sa.Column("host", sa.String(length=200), nullable=True),
        sa.Column("path", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("waste_pkey")),
        **TABLE,
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("boot_id", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("memory_bytes", BIG, nullable=False),
        sa.Column("room_key", sa.String(length=200), nullable=False),
        sa.Column("cpu_mask", sa.String(length=200), nullable=False),
        sa.Column("batch_id", sa.String(length=200), nullable=True),
        sa.Column("ends_us", BIG, nullable=True),
        sa.Column("stops_us", BIG, nullable=True),
        sa.Column("scratch", BYTES, nullable=False),
        sa.Column("tags", LONG, nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("started_us", BIG, nullable=False),
        sa.Column("lease_until_us", BIG, nullable=False),
        sa.Column("lease_kind", sa.SmallInteger(), nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("trouble", LONG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("worker_pkey")),
        **TABLE,
    )
    op.create_index(
        "worker_alive",
        "worker",
        ["host"],
        unique=False,
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
        if_not_exists=True,
    )
    op.create_table(
        "host_speed",
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("factor", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("host_speed_pkey")),
        **TABLE,
    )
    op.create_table(
        "head",
        sa.Column("origin", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("pruned", BIG, nullable=False),
        sa.Column("learned", BIG, nullable=False),
        sa.Column("upkeep_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(["origin"], ["site.id"], name=op.f("head_origin_fkey")),
        sa.PrimaryKeyConstraint("origin", "epoch", name=op.f("head_pkey")),
        **TABLE,
    )
    op.create_table(
        "item",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("home_site", sa.Integer(), nullable=False),
        sa.Column("path", BYTES, nullable=True),
        sa.Column("path_digest", ID16, nullable=True),
        sa.Column("params", LONG, nullable=False),
        sa.Column("said", LONG, nullable=True),
        sa.Column("meta", LONG, nullable=False),
        sa.Column("size_bytes", BIG, nullable=True),
        sa.Column("mtime_us", BIG, nullable=True),
        sa.Column("fingerprint", sa.String(length=200), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("by_user", sa.String(length=200), nullable=False),
        sa.Column("registered_us", BIG, nullable=False),
        sa.Column("reason", LONG, nullable=True),
        sa.Column("checksum", sa.String(length=80), nullable=True),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("journal_from", BIG, nullable=True),
        sa.ForeignKeyConstraint(["home_site"], ["site.id"], name=op.f("item_home_site_fkey")),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("item_pipeline_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("item_pkey")),
        sa.UniqueConstraint("pipeline_id", "key", name=op.f("item_pipeline_id_key_key")),
        sa.CheckConstraint("priority BETWEEN -1000000 AND 1000000", name=op.f("item_priority")),
        **TABLE,
    )
    op.create_index(
        "item_path",
        "item",
        ["path_digest", "pipeline_id"],
        unique=False,
        sqlite_where=sa.text("path_digest IS NOT NULL"),
        postgresql_where=sa.text("path_digest IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "item_tally",
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("item_tally_pipeline_id_fkey")
        ),
        sa.PrimaryKeyConstraint("pipeline_id", "state", name=op.f("item_tally_pkey")),
        **TABLE,
    )
    op.create_index("item_state", "item", ["pipeline_id", "state", "id"], if_not_exists=True)
    op.create_index(
        "item_source",
        "item",
        ["source_id", "state"],
        unique=False,
        sqlite_where=sa.text("source_id IS NOT NULL"),
        postgresql_where=sa.text("source_id IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("cursor", LONG, nullable=False),
        sa.Column("looked_us", BIG, nullable=True),
        sa.Column("took_us", BIG, nullable=True),
        sa.Column("taken", BIG, nullable=False),
        sa.Column("pending", BIG, nullable=False),
        sa.Column("pending_us", BIG, nullable=True),
        sa.Column("trouble", LONG, nullable=True),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("source_pipeline_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("source_pkey")),
        sa.UniqueConstraint("pipeline_id", "name", name=op.f("source_pipeline_id_name_key")),
        **TABLE,
    )
    op.create_table(
        "source_folder",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("digest", ID16, nullable=False),
        sa.Column("path", BYTES, nullable=False),
        sa.Column("stamp", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("source_folder_source_id_fkey")
        ),
        sa.PrimaryKeyConstraint("source_id", "digest", name=op.f("source_folder_pkey")),
        sqlite_with_rowid=False,
        **TABLE,
    )
    op.create_table(
        "step",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("waits_for", sa.SmallInteger(), nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("body_id", sa.Integer(), nullable=True),
        sa.Column("is_removed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("step_pipeline_id_fkey")
        ),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("step_site_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("step_pkey")),
        sa.UniqueConstraint("pipeline_id", "name", name=op.f("step_pipeline_id_name_key")),
        **TABLE,
    )
    op.create_table(
        "version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("interface_hash", sa.String(length=64), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("spec", LONG, nullable=False),
        sa.Column("folder", BYTES, nullable=False),
        sa.Column("set_by_host", sa.String(length=200), nullable=False),
        sa.Column("set_by_path", BYTES, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("version_pipeline_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("version_pkey")),
        sa.UniqueConstraint("pipeline_id", "number", name=op.f("version_pipeline_id_number_key")),
        **TABLE,
    )
    op.create_table(
        "body",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("body_step_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("body_pkey")),
        sa.UniqueConstraint("step_id", "hash", name=op.f("body_step_id_hash_key")),
        **TABLE,
    )
    op.create_table(
        "edge",
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("successor_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("edge_step_id_fkey")),
        sa.ForeignKeyConstraint(["successor_id"], ["step.id"], name=op.f("edge_successor_id_fkey")),
        sa.PrimaryKeyConstraint("step_id", "successor_id", name=op.f("edge_pkey")),
        **TABLE,
    )
    op.create_table(
        "unsettled_step",
        sa.Column("step_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", BYTEWISE, nullable=True),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("unsettled_step_step_id_fkey")),
        sa.PrimaryKeyConstraint("step_id", name=op.f("unsettled_step_pkey")),
        **TABLE,
    )
    op.create_table(
        "lane",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("memory_bytes", BIG, nullable=True),
        sa.Column("share", sa.String(length=200), nullable=True),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("passed_us", BIG, nullable=True),
        sa.Column("seen_us", BIG, nullable=True),
        sa.Column("kept_by", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("lane_step_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("lane_pkey")),
        sa.UniqueConstraint(
            "step_id", "level", "share", "host", name=op.f("lane_step_id_level_share_host_key")
        ),
        **TABLE,
    )
    op.create_table(
        "estimate",
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("sample", LONG, nullable=False),
        sa.Column("fitted", LONG, nullable=True),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("estimate_step_id_fkey")),
        sa.PrimaryKeyConstraint("step_id", name=op.f("estimate_pkey")),
        **TABLE,
    )
    op.create_table(
        "tally",
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("body_id", sa.Integer(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("tally_step_id_fkey")),
        sa.PrimaryKeyConstraint("step_id", "state", "body_id", name=op.f("tally_pkey")),
        **TABLE,
    )
    op.create_table(
        "task",
        sa.Column("id", BIG, nullable=False),
        sa.Column("item_id", BIG, nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=True),
        sa.Column("okey", BIG, nullable=False),
        sa.Column("attempt", ID16, nullable=True),
        sa.Column("worker_id", sa.Integer(), nullable=True),
        sa.Column("waiting_on", sa.SmallInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("lost", sa.SmallInteger(), nullable=False),
        sa.Column("cut_off", sa.SmallInteger(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("expected_ms", BIG, nullable=True),
        sa.Column("not_before_us", BIG, nullable=True),
        sa.Column("body_id", sa.Integer(), nullable=True),
        sa.Column("host", sa.String(length=200), nullable=True),
        sa.Column("reason", LONG, nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("task_item_id_fkey")),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("task_step_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("task_pkey")),
        sa.UniqueConstraint("item_id", "step_id", name=op.f("task_item_id_step_id_key")),
        **TABLE,
    )
    op.create_index(
        "task_lane",
        "task",
        ["lane", "okey", "id"],
        unique=False,
        sqlite_where=sa.text("lane IS NOT NULL"),
        postgresql_where=sa.text("lane IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "task_not_before",
        "task",
        ["not_before_us"],
        unique=False,
        sqlite_where=sa.text("not_before_us IS NOT NULL"),
        postgresql_where=sa.text("not_before_us IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "lane_need",
        sa.Column("lane_id", sa.Integer(), nullable=False),
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["lane_id"], ["lane.id"], name=op.f("lane_need_lane_id_fkey")),
        sa.PrimaryKeyConstraint("lane_id", "pool", name=op.f("lane_need_pkey")),
        **TABLE,
    )
    columns = ["step_id", "state", "id", "number"]
    op.create_index("task_state", "task", columns, if_not_exists=True)
    _indexes_of_some_rows(dialect.name)
    if dialect.name == "postgresql":
        op.execute(READABLE)
    for name, query in _views(SQL[dialect.name]):
        op.execute(f"DROP VIEW IF EXISTS {name}")
        op.execute(f"CREATE VIEW {name} AS {query}")


def _published() -> None:
    """Make what knows the published paths."""
    op.create_table(
        "publication",
        sa.Column("digest", ID16, nullable=False),
        sa.Column("path", BYTES, nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("task_id", BIG, nullable=False),
        sa.Column("attempt", ID16, nullable=False),
        sa.Column("head", HEAD, nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("checksum", sa.String(length=80), nullable=False),
        sa.Column("was_size_bytes", BIG, nullable=True),
        sa.Column("was_checksum", sa.String(length=80), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("publication_pkey")),
        sqlite_with_rowid=False,
        **TABLE,
    )
    op.create_index(
        op.f("publication_head"), "publication", ["head"], unique=False, if_not_exists=True
    )
    op.create_index(
        op.f("publication_task_id"), "publication", ["task_id"], unique=False, if_not_exists=True
    )
    op.create_table(
        "folder_part",
        sa.Column("digest", ID16, nullable=False),
        sa.Column("checksum", sa.String(length=80), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digests", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("digest", "checksum", "position", name=op.f("folder_part_pkey")),
        **TABLE,
    )
    op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("machine", sa.String(length=200), nullable=True),
        sa.Column("path", BYTES, nullable=True),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("set_aside", LONG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("site_pkey")),
        sa.UniqueConstraint("uid", name=op.f("site_uid_key")),
        **TABLE,
    )
    op.create_table(
        "slot",
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("attempt", ID16, nullable=True),
        sa.Column("is_retired", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("pool", "host", "name", name=op.f("slot_pkey")),
        **TABLE,
    )
    op.create_index(op.f("slot_attempt"), "slot", ["attempt"], unique=False, if_not_exists=True)
    op.create_table(
        "turn",
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("free_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("pool", "host", "number", name=op.f("turn_pkey")),
        **TABLE,
    )


def _indexes_of_some_rows(dialect: str) -> None:
    """What is looked for among few rows of many; MariaDB can only index all of them."""
    seldom = (
        "event <> 'register' AND event <> 'unblock' AND event <> 'claim' AND event <> 'succeed' "
        "AND event <> 'adopt' AND event <> 'checksum'"
    )
    if dialect == "mariadb":
        op.create_index("journal_seq_id", "journal", ["seq", "id"], if_not_exists=True)
        op.execute(
            "ALTER TABLE journal ADD COLUMN IF NOT EXISTS seldom_key varbinary(1000) "
            f"AS (CASE WHEN {seldom} THEN `key` END) VIRTUAL"
        )
        op.create_index("journal_seldom", "journal", ["seldom_key"], if_not_exists=True)
        return
    op.create_index(
        "journal_seldom",
        "journal",
        ["pipeline", "key"],
        unique=False,
        sqlite_where=sa.text(seldom),
        postgresql_where=sa.text(seldom),
        if_not_exists=True,
    )
    op.create_index(
        "journal_unsequenced",
        "journal",
        ["id"],
        unique=False,
        sqlite_where=sa.text("seq IS NULL"),
        postgresql_where=sa.text("seq IS NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "attempt_ended",
        "attempt",
        ["state", "id"],
        unique=False,
        sqlite_where=sa.text(SELDOM_ATTEMPT),
        postgresql_where=sa.text(SELDOM_ATTEMPT),
        if_not_exists=True,
    )
    op.create_index(
        "temporary_there",
        "temporary",
        ["task_id"],
        unique=False,
        sqlite_where=sa.text("removed_us IS NULL"),
        postgresql_where=sa.text("removed_us IS NULL"),
        if_not_exists=True,
    )
