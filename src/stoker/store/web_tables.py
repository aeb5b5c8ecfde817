"""The tables of jobs: items that clients submitted over HTTP, and what was promised to those clients.

An item is the record; what is here is about the client alone, and is deleted with the job.
`store/tables.py` defines all other tables and exports these too.
"""

from sqlalchemy import Column, Index, Integer, SmallInteger, String, Table

from stoker.store.columns import Big, Bytes, Id16, Json, Long, Name, metadata

job = Table(
    "job",
    metadata,
    Column("id", Big, primary_key=True, doc="the order of submission, in which jobs are listed"),
    Column("key", String(32), nullable=False, unique=True, doc="the key of its item; random"),
    Column("pipeline_id", Integer, nullable=False),
    Column("by_user", Name, nullable=False, doc="the user who submitted it, as its item has it"),
    Column("at_us", Big, nullable=False),
    Column("progress", SmallInteger, nullable=False, doc="the most that was reported, in percent"),
    Column("removed_us", Big, doc="when its client removed it; the row itself goes later"),
    Index("job_removed", "removed_us"),
)

remembered_request = Table(
    "remembered_request",
    metadata,
    Column("client", Name, primary_key=True, doc="a token, a user or an address"),
    Column("digest", Id16, primary_key=True, doc="of its `Idempotency-Key`"),
    Column("body", Id16, nullable=False, doc="digest of the whole request"),
    Column("key", String(32), nullable=False, doc="the job that came of it"),
    Column("at_us", Big, nullable=False, index=True),
)

subscriber = Table(
    "subscriber",
    metadata,
    Column("key", String(32), primary_key=True, doc="of the job"),
    Column("urls", Json, nullable=False, doc="where to report `inProgress`, `success`, `failed`"),
    Column("reported", SmallInteger, nullable=False, doc="0 nothing, 1 that it runs, 2 its end"),
    Column("tries", SmallInteger, nullable=False, doc="deliveries of the next report that failed"),
    Column("due_us", Big, index=True, doc="when to look next; NULL: everything was reported"),
    Column("trouble", Long, doc="why the last delivery failed"),
)

service_secret = Table(
    "service_secret",
    metadata,
    Column("id", Integer, primary_key=True, doc="1"),
    Column("secret", Bytes, nullable=False, doc="from which the keys of signatures are derived"),
)
