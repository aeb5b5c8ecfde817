"""The tables of what is kept beside outputs: error folders of items, tables of values.

`store/tables.py` defines all other tables and imports this module with them.
"""

from sqlalchemy import Column, ForeignKey, Integer, String, Table

from stoker.store.columns import Big, Bytes, Id16, Long, Name, metadata

error_folder = Table(
    "error_folder",
    metadata,
    Column("attempt", Id16, primary_key=True, doc="after which its task failed for good"),
    Column("task_id", Big, nullable=False),
    Column("item_id", Big, nullable=False, index=True),
    Column("pipeline_id", ForeignKey("pipeline.id"), nullable=False, index=True),
    Column("path", Bytes, doc="where the folder is; NULL: nobody has tried yet"),
    Column("digest", Id16, index=True, doc="of the path, which may be too long for an index"),
    Column("host", Name, nullable=False, doc="of the attempt's worker, which sees the folder"),
    Column("made_us", Big, doc="when it was written; NULL: it is still to be"),
    Column("not_before_us", Big, nullable=False, doc="when it is to be looked after next"),
    Column("tries", Integer, nullable=False, doc="how often it could not be written or removed"),
)

value_table = Table(
    "value_table",
    metadata,
    Column("pipeline_id", ForeignKey("pipeline.id"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("path", Bytes, nullable=False, doc="where it was written last"),
    Column("spec", String(64), nullable=False, doc="digest of what the table was to be then"),
    Column("size_bytes", Big, doc="of what was written there last; NULL: nothing was"),
    Column("checksum", String(80)),
    Column("was_checksum", String(80), doc="of what was there before"),
    Column("epoch", Integer, nullable=False, doc="the journal's, as far as the table knows it"),
    Column("seq", Big, nullable=False, doc="the journal's row up to which it has everything"),
    Column("n", Big, nullable=False, doc="its rows"),
    Column("written_us", Big, doc="NULL: never"),
    Column("trouble", Long, doc="why it could not be written; NULL: it could"),
)
