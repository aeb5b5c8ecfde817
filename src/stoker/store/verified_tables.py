"""The table of outputs that `verify` found missing.

`store/tables.py` defines all other tables and imports this module with them.
"""

from sqlalchemy import Column, Integer, Table

from stoker.store.columns import Big, Id16, Name, metadata

missing_output = Table(
    "missing_output",
    metadata,
    Column("attempt", Id16, primary_key=True, doc="counts only while its task carries it"),
    Column("name", Name, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("found_us", Big, nullable=False, doc="when `verify` found that it was missing"),
)
