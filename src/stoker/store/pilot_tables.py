"""The tables of batch systems and their pilots: the jobs that bring workers.

`store/tables.py` defines all other tables and exports these too.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, SmallInteger, String, Table

from stoker.store.columns import Big, Bytes, Json, Long, Name, metadata

batch = Table(
    "batch",
    metadata,
    Column("name", Name, primary_key=True),
    Column("settings", Json, nullable=False, doc="as the file says, for those who do not read it"),
    Column("digest", String(64), nullable=False, doc="of the settings: a change resumes"),
    Column("set_by", Bytes, nullable=False, doc="the file that has it"),
    Column("is_removed", Boolean, nullable=False, doc="no longer in that file"),
    Column("held_by", Name, doc="who holds it, empty: Stoker itself; NULL: nobody"),
    Column("reason", Long, doc="why it is held"),
    Column("failed", Integer, nullable=False, doc="pilots in a row that never worked"),
    Column("refused", Integer, nullable=False, doc="pilots in a row that were refused"),
    Column("not_before_us", Big, doc="when the next pilot may be submitted"),
    Column("ceiling", Integer, doc="pilots that the cluster allows; NULL: it has not said"),
    Column("ceiling_us", Big, doc="when it said so"),
    Column("pace", Integer, nullable=False, doc="pilots that may wait at a time"),
    Column("paced_us", Big, nullable=False, doc="when that was changed"),
    Column(
        "wanted", Integer, nullable=False, doc="pilots, by the work there was at the last visit"
    ),
    Column("surplus_us", Big, doc="since when there have been more than wanted"),
    Column("asked_us", Big, doc="when the batch system was last asked how the pilots stand"),
    Column("answered_us", Big, doc="when it last answered"),
    Column("trouble", Long, doc="why it did not answer; NULL: it did"),
)

pilot = Table(
    "pilot",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", String(20), nullable=False, unique=True, doc="random; part of the job's name"),
    Column("batch", Name, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("name", Name, nullable=False, doc="of its job, by which it is found"),
    Column("job", Name, doc="the batch system's id; NULL: not known to be submitted"),
    Column("batch_id", Name, doc="CLUSTER:JOB.RESTART"),
    Column("is_trial", Boolean, nullable=False, doc="reports what it finds, and takes no work"),
    Column("cpus", Integer, nullable=False),
    Column("memory_bytes", Big),
    Column("time_s", Integer, nullable=False),
    Column("idle_s", Integer, nullable=False, doc="without work, after which it ends"),
    Column("tags", Json, doc="instead of those of its host, as a JSON list"),
    Column("intended_us", Big, nullable=False, doc="when the row was made, before its submission"),
    Column("submitted_us", Big, doc="when its id became known"),
    Column("started_us", Big, doc="when its job, or its worker, began"),
    Column("ends_us", Big, doc="by when it will be gone"),
    Column("ended_us", Big),
    Column("stopped_us", Big, doc="when its worker was stopped by a signal before its time"),
    Column("seen_us", Big, doc="when its list last said something new of it"),
    Column("missed_us", Big, doc="when it was first missing from the list; NULL: it is not"),
    Column("stuck_us", Big, doc="since when it has waited for a reason that never passes"),
    Column("cancel_us", Big, doc="when its end was first ordered"),
    Column("host", Name, doc="as the batch system calls it, else as the host does"),
    Column("said", Long, doc="the batch system's word for its state, and why"),
    Column("refusal", Long, doc="why it was not taken, not confirmed yet; NULL: not refused"),
    Column("is_limit", Boolean, nullable=False, doc="the refusal is that enough jobs are there"),
    Column("reason", Long, doc="how it ended, in words"),
    Column("done", Big, nullable=False, doc="tasks that it has done, as far as it has reported"),
    Column("found", Json, doc="what it found on its host"),
    Column("log", Bytes, nullable=False, doc="the file with its output"),
)
Index("pilot_batch_state", pilot.c.batch, pilot.c.state, pilot.c.id)

pilot_worker = Table(
    "pilot_worker",
    metadata,
    Column("worker_id", ForeignKey("worker.id"), primary_key=True),
    Column("pilot_id", ForeignKey("pilot.id"), nullable=False, index=True),
)
