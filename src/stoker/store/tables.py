"""The tables of the store. Numbers, bytes and microseconds here; the views have words and times.

Design and measurements: `docs/explanation/decisions/`. Ids are local to the store; what leaves a
site is named by `(pipeline, key, step)` and by attempt ids, which are universal (UUIDv7).
`store/apply.py` is the only writer of the columns called `state`. Indexes: `store/indexes.py`. That
SQLite keeps some tables in the order of their keys stands in the migration alone: an option of SQLite's
would make every start load that dialect, on servers too.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from stoker.model.bounds import PRIORITY
from stoker.store import (
    access_tables,
    columns,
    groups_tables,
    learned_tables,
    message_tables,
    outpost_tables,
    pilot_tables,
    published_tables,
    result_tables,
    submission_tables,
    verified_tables,
    web_tables,
)
from stoker.store.columns import Big, Bytes, Bytewise, Id16, Json, Long, Name

metadata = columns.metadata
other_tables = (access_tables, submission_tables, web_tables)  # whose verbs take them from there
tally, item_tally = learned_tables.tally, learned_tables.item_tally
batch, pilot, pilot_worker = pilot_tables.batch, pilot_tables.pilot, pilot_tables.pilot_worker
estimate, host_speed = learned_tables.estimate, learned_tables.host_speed
activity, activity_head = learned_tables.activity, learned_tables.activity_head
output, temporary = published_tables.output, published_tables.temporary
publication, folder_part = published_tables.publication, published_tables.folder_part
place = published_tables.place
notifier, message = message_tables.notifier, message_tables.message
outpost = outpost_tables.outpost
error_folder, value_table = result_tables.error_folder, result_tables.value_table
missing_output = verified_tables.missing_output
item_group, member = groups_tables.item_group, groups_tables.member

site = Table(
    "site",
    metadata,
    Column("id", Integer, primary_key=True, doc="local; journals name their origin by it"),
    Column("uid", String(36), nullable=False, unique=True, doc="random, for ever"),
    Column("name", Name, nullable=False),
    Column("epoch", Integer, nullable=False, doc="raised when the store comes back from a backup"),
    Column("machine", Name, doc="the one host that may open an SQLite store"),
    Column("path", Bytes, doc="where an SQLite store lay when it was made"),
    Column("created_us", Big, nullable=False),
    Column("set_aside", Long, doc="why nobody may work on it: moved, or a backup; NULL: in use"),
)

head = Table(
    "head",
    metadata,
    Column("origin", ForeignKey("site.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("seq", Big, nullable=False, doc="the last number given or received; journal to here"),
    Column("pruned", Big, nullable=False, default=0, doc="how many of these rows were pruned"),
    Column("learned", Big, nullable=False, default=0, doc="estimates know the journal to here"),
    Column("upkeep_us", Big, nullable=False, default=0, doc="when estimates were last tended"),
)

pipeline = Table(
    "pipeline",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("version_id", Integer, doc="the current row of `version`"),
    Column("items", Name, nullable=False, doc="files, folders or records"),
)

version = Table(
    "version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pipeline_id", ForeignKey("pipeline.id"), nullable=False),
    Column("number", Integer, nullable=False, doc="1, 2, … within the pipeline"),
    Column("interface_hash", String(64), nullable=False, doc="what sites must agree on"),
    Column("body_hash", String(64), nullable=False, doc="what the owner of the steps decides"),
    Column("spec", Long, nullable=False, doc="the pipeline as canonical JSON"),
    Column("folder", Bytes, nullable=False, doc="what relative paths are relative to"),
    Column("set_by_host", Name, nullable=False),
    Column("set_by_path", Bytes, nullable=False),
    Column("at_us", Big, nullable=False),
    UniqueConstraint("pipeline_id", "number"),
)

step = Table(
    "step",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pipeline_id", ForeignKey("pipeline.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("position", Integer, nullable=False, doc="in an order that the graph allows"),
    Column("waits_for", SmallInteger, nullable=False, doc="number of direct predecessors"),
    Column("site", ForeignKey("site.id"), nullable=False, doc="only its owner changes its tasks"),
    Column("body_id", Integer, doc="the current row of `body`"),
    Column("is_removed", Boolean, nullable=False, doc="no longer in the pipeline; history stays"),
    UniqueConstraint("pipeline_id", "name"),
)

unsettled_step = Table(
    "unsettled_step",
    metadata,
    Column("step_id", ForeignKey("step.id"), primary_key=True),
    Column("key", Bytewise, doc="up to this item tasks follow the current version; NULL: none yet"),
)

body = Table(
    "body",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("step_id", ForeignKey("step.id"), nullable=False),
    Column("hash", String(64), nullable=False, doc="of all that can change the step's result"),
    UniqueConstraint("step_id", "hash"),
)

edge = Table(
    "edge",
    metadata,
    Column("step_id", ForeignKey("step.id"), primary_key=True),
    Column("successor_id", ForeignKey("step.id"), primary_key=True),
)

lane = Table(
    "lane",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("step_id", ForeignKey("step.id"), nullable=False),
    Column("level", SmallInteger, nullable=False, doc="index into the step's memory levels"),
    Column("cpus", Integer, nullable=False),
    Column("memory_bytes", Big, doc="NULL: no limit"),
    Column("share", Name, doc="who pushed its items; NULL: the pattern of others, without tasks"),
    Column("host", Name, nullable=False, doc="which alone may claim from it; empty: any"),
    Column("passed_us", Big, doc="since when others have gone before its first task; NULL: not"),
    Column("seen_us", Big, doc="when a worker last had too little for its first task"),
    Column("kept_by", Name, doc="the place that keeps what it frees for its first task"),
    UniqueConstraint("step_id", "level", "share", "host"),
)

lane_need = Table(
    "lane_need",
    metadata,
    Column("lane_id", ForeignKey("lane.id"), primary_key=True),
    Column("pool", Name, primary_key=True),
    Column("n", Integer, nullable=False),
)

slot = Table(
    "slot",
    metadata,
    Column("pool", Name, primary_key=True),
    Column("host", Name, primary_key=True, doc="whose slot it is; empty: everybody's"),
    Column("name", Name, primary_key=True),
    Column("attempt", Id16, doc="who holds it; NULL: free", index=True),
    Column("is_retired", Boolean, nullable=False, doc="not to be given out again"),
)

turn = Table(
    "turn",
    metadata,
    Column("pool", Name, primary_key=True),
    Column("host", Name, primary_key=True, doc="as of its pool's slots"),
    Column("number", Integer, primary_key=True, doc="1 to as many as may begin in a minute"),
    Column("free_us", Big, nullable=False, doc="when the next attempt may take it"),
)

sharing = Table(
    "sharing",
    metadata,
    Column("id", Integer, primary_key=True, doc="the highest holds"),
    Column("data", Json, nullable=False, doc="pools, shares, names of secrets, retention, as JSON"),
    Column("at_us", Big, nullable=False),
)

item = Table(
    "item",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False, doc="from the dialect, in blocks"),
    Column("pipeline_id", ForeignKey("pipeline.id"), nullable=False),
    Column("key", Bytewise, nullable=False),
    Column("state", SmallInteger, nullable=False, doc="follows from the tasks, by the fold"),
    Column("generation", Integer, nullable=False, doc="raised when the item is to be done again"),
    Column("home_site", ForeignKey("site.id"), nullable=False),
    Column("path", Bytes, doc="the true path, as bytes"),
    Column("path_digest", Id16, doc="of the path, which may be too long for an index"),
    Column("params", Json, nullable=False),
    Column(
        "said", Json, doc="parameters with a value by somebody, and what a person's is instead of"
    ),
    Column("meta", Json, nullable=False),
    Column("size_bytes", Big),
    Column("mtime_us", Big),
    Column("fingerprint", Name, nullable=False, doc="distinguishes new content from known"),
    Column("priority", Integer, nullable=False),
    Column("by_user", Name, nullable=False),
    Column("registered_us", Big, nullable=False),
    Column("reason", Long, doc="why it is quarantined"),
    Column("checksum", String(80), doc="of the file's content, once intake has read it"),
    Column("source_id", Integer, doc="the source that limits how many of its items are open"),
    Column("journal_from", Big, doc="the journal row that stands for all of its earlier ones"),
    UniqueConstraint("pipeline_id", "key"),
    CheckConstraint(f"priority BETWEEN {PRIORITY.least} AND {PRIORITY.most}", "item_priority"),
)

source = Table(
    "source",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pipeline_id", ForeignKey("pipeline.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("kind", Name, nullable=False, doc="folder, table, ...: what its cursor means"),
    Column("cursor", Json, nullable=False, doc="where the next look begins; never ahead of items"),
    Column("looked_us", Big, doc="when the last look that saw everything ended"),
    Column("took_us", Big, doc="when it last brought something new"),
    Column("taken", Big, nullable=False, doc="items it brought, new or changed"),
    Column("pending", Big, nullable=False, doc="seen at the last look, and not complete"),
    Column("pending_us", Big, doc="since when the oldest of those has been seen"),
    Column("trouble", Long, doc="what went wrong at the last look, and what was refused"),
    UniqueConstraint("pipeline_id", "name"),
)

source_folder = Table(
    "source_folder",
    metadata,
    Column("source_id", ForeignKey("source.id"), primary_key=True),
    Column("digest", Id16, primary_key=True, doc="of the path, which may be too long for a key"),
    Column("path", Bytes, nullable=False, doc="within the source's folder; empty for itself"),
    Column("stamp", Name, nullable=False, doc="as it was when all in it had been taken"),
)

task = Table(
    "task",
    metadata,
    Column("id", Big, primary_key=True),
    Column("item_id", ForeignKey("item.id"), nullable=False),
    Column("step_id", ForeignKey("step.id"), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("lane", Integer, doc="set only while the task is ready and due: what a claim looks for"),
    Column("okey", Big, nullable=False, doc="-(priority * 2^40 + rank in ms): the order of claims"),
    Column("attempt", Id16, doc="the attempt that carries it, or the last that did"),
    Column("worker_id", Integer, doc="who runs it"),
    Column("waiting_on", SmallInteger, nullable=False, doc="predecessors not yet satisfied"),
    Column("generation", Integer, nullable=False, doc="the item's when this was last set back"),
    Column("number", Integer, nullable=False, doc="attempts so far"),
    Column("tries", SmallInteger, nullable=False, doc="attempts that used up retries"),
    Column("lost", SmallInteger, nullable=False, doc="attempts lost with their worker"),
    Column("cut_off", SmallInteger, nullable=False, doc="attempts cut off by a worker's end"),
    Column("level", SmallInteger, nullable=False, doc="memory level of the next attempt"),
    Column("expected_ms", Big, doc="how long an attempt may take, as last estimated"),
    Column("not_before_us", Big, doc="back-off: not to be claimed earlier"),
    Column("body_id", Integer, doc="what it was done with"),
    Column("host", Name, doc="which alone may run it, as it ran another of the item's steps"),
    Column(
        "reason", Long, doc="why it is held or cancelled, or blocked although all before it is done"
    ),
    UniqueConstraint("item_id", "step_id"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Id16, primary_key=True),
    Column("task_id", Big, nullable=False, index=True),
    Column("number", Integer, nullable=False, doc="1, 2, … within the task"),
    Column("kind", SmallInteger, nullable=False, doc="0 run, 1 adopted"),
    Column("state", SmallInteger, nullable=False),
    Column("worker_id", Integer),
    Column("site", Integer, nullable=False),
    Column("generation", Integer, nullable=False, doc="the item's, at the claim"),
    Column("version_id", Integer, nullable=False),
    Column("consumed", Json, doc="predecessor step -> hex id of the attempt whose outputs it used"),
    Column("cancel_requested", Boolean, nullable=False),
    Column("claimed_us", Big, nullable=False),
    Column("started_us", Big),
    Column("publishing_us", Big, doc="when its outputs began to be published; NULL: they did not"),
    Column("ended_us", Big),
    Column("pid", Integer),
    Column("batch_id", Name),
    Column("command", Long),
    Column("exit_code", Integer),
    Column("signal", SmallInteger),
    Column("user_us", Big),
    Column("system_us", Big),
    Column("max_rss_bytes", Big),
    Column("stdout_size", Big),
    Column("stdout_truncated", Boolean),
    Column("stdout_path", Bytes),
    Column("stdout_text", Bytes),
    Column("stderr_size", Big),
    Column("stderr_truncated", Boolean),
    Column("stderr_path", Bytes),
    Column("stderr_text", Bytes),
    Column("step_values", Json, doc="what it wrote for later steps"),
    Column("reason", Long, doc="one line for people"),
    Column("cause", Long, doc="what `failures` groups by"),
    Column("node", Name, doc="of an outpost, where it ran; NULL: on its worker's host"),
)

worker = Table(
    "worker",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("host", Name, nullable=False),
    Column("boot_id", Name, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("name", Name, nullable=False),
    Column("slots", Integer, nullable=False, doc="cpus it fills at most"),
    Column("cpus", Integer, nullable=False, doc="of its host, or its part of it"),
    Column("memory_bytes", Big, nullable=False, doc="of its host, or its part of it"),
    Column("room_key", Name, nullable=False, doc="batch job or group whose room it shares; or ''"),
    Column("cpu_mask", Name, nullable=False, doc="cpus it may run on, hexadecimal; empty: any"),
    Column("batch_id", Name, doc="its batch job, as CLUSTER:JOB.RESTART"),
    Column("ends_us", Big, doc="by when it will be gone; NULL: it has no end"),
    Column("stops_us", Big, doc="by when its attempts have to have ended"),
    Column("scratch", Bytes, nullable=False),
    Column("tags", Json, doc="what steps may need, as a JSON list"),
    Column("state", SmallInteger, nullable=False),
    Column("started_us", Big, nullable=False),
    Column("lease_until_us", Big, nullable=False),
    Column(
        "lease_kind", SmallInteger, nullable=False, default=0, doc="1: never runs out by itself"
    ),
    Column("ended_us", Big),
    Column("trouble", Long, doc="why it claims nothing, in words; NULL: it does"),
)

journal = Table(
    "journal",
    metadata,
    Column("id", Big, primary_key=True, doc="order of writing; never a cursor: rows commit late"),
    Column("origin", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("seq", Big, doc="dense, in the order of commits; given after the commit by the fold"),
    Column("at_us", Big, nullable=False),
    Column("received_us", Big, doc="when a peer's row came in; NULL for own rows"),
    Column("v", SmallInteger, nullable=False, doc="version of this kind of event"),
    Column("event", Name, nullable=False),
    Column("pipeline", Name),
    Column("key", Bytewise),
    Column("step", Name),
    Column("attempt", Id16),
    Column("generation", Integer),
    Column("from_state", SmallInteger),
    Column("to_state", SmallInteger),
    Column("body", String(64), doc="hash of the step's body, where from_state or to_state is done"),
    Column("n", Integer, nullable=False, doc="how many tasks the row speaks of"),
    Column("data", Json),
)

waste = Table(
    "waste",
    metadata,
    Column("id", Big, primary_key=True),
    Column("host", Name, doc="where the file is; NULL: nobody knows"),
    Column("path", Bytes, nullable=False, doc="a log that nothing speaks of, to be deleted"),
)
