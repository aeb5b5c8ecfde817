"""The tables of what is counted and learned: all of it can be computed again from the journal.

`store/tables.py` defines all other tables and exports these too.
"""

from sqlalchemy import Column, Double, ForeignKey, Integer, SmallInteger, Table

from stoker.store.columns import Big, Json, Name, metadata

estimate = Table(
    "estimate",
    metadata,
    Column("step_id", ForeignKey("step.id"), primary_key=True),
    Column("sample", Json, nullable=False, doc="sizes and durations of attempts, newest last"),
    Column("fitted", Json, doc="what follows from them; NULL: no attempt has succeeded"),
)

host_speed = Table(
    "host_speed",
    metadata,
    Column("host", Name, primary_key=True),
    Column("factor", Double, nullable=False, doc="above 1: quicker than the others"),
)

tally = Table(
    "tally",
    metadata,
    Column("step_id", ForeignKey("step.id"), primary_key=True),
    Column("state", SmallInteger, primary_key=True, doc="a task state"),
    Column(
        "body_id", Integer, primary_key=True, doc="for done tasks what they were done with; or 0"
    ),
    Column("n", Big, nullable=False),
)

item_tally = Table(
    "item_tally",
    metadata,
    Column("pipeline_id", ForeignKey("pipeline.id"), primary_key=True),
    Column("state", SmallInteger, primary_key=True, doc="an item state"),
    Column("n", Big, nullable=False),
)

activity = Table(
    "activity",
    metadata,
    Column("kind", SmallInteger, primary_key=True, doc="0: of a host, 1: of a step"),
    Column("level", SmallInteger, primary_key=True, doc="0: hours, 1: days, both of UTC"),
    Column("subject", Name, primary_key=True, doc="the host's name, or the step's id"),
    Column("at_us", Big, primary_key=True, doc="when the hour or day begins"),
    Column("done", Big, nullable=False, doc="attempts that succeeded in it"),
    Column("failed", Big, nullable=False, doc="attempts that failed in it"),
    Column("other", Big, nullable=False, doc="attempts that were lost or cancelled in it"),
    Column("busy_us", Big, nullable=False, doc="how long attempts ran in it, together"),
)

activity_head = Table(
    "activity_head",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("seq", Big, nullable=False, doc="`activity` knows the own journal to here"),
)
