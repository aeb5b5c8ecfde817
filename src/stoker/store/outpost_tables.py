"""The table of outposts: places where attempts of this store run and that have no store.

`store/tables.py` defines all other tables and exports this too.
"""

from sqlalchemy import Boolean, Column, Integer, String, Table

from stoker.store.columns import Big, Bytes, Json, Long, Name, metadata

outpost = Table(
    "outpost",
    metadata,
    Column("name", Name, primary_key=True),
    Column("settings", Json, nullable=False, doc="as the file says, for those who do not read it"),
    Column("digest", String(64), nullable=False, doc="of the settings"),
    Column("set_by", Bytes, nullable=False, doc="the file that has it"),
    Column("is_removed", Boolean, nullable=False, doc="no longer in that file"),
    Column("held_by", Name, doc="who holds it: it is given nothing new; NULL: nobody"),
    Column("reason", Long, doc="why it is held"),
    Column("place", Integer, nullable=False, doc="the place of the paths that are published there"),
    Column("worker_id", Integer, doc="the worker that stands for it; NULL: never visited"),
    Column("tried_us", Big, doc="when it was last visited"),
    Column("answered_us", Big, doc="when a visit was last complete"),
    Column("trouble", Long, doc="why the last visit was not complete; NULL: it was"),
    Column("told", Json, doc="what it said of itself at the last complete visit"),
)
