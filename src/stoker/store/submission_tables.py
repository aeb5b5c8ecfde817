"""The tables of items that came over HTTP: which client submitted them, and what it may still do."""

from sqlalchemy import (
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    UniqueConstraint,
)

from stoker.store.columns import Big, Name, metadata

client = Table(
    "client",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pipeline_id", ForeignKey("pipeline.id"), nullable=False),
    Column("name", Name, nullable=False, doc="a token, a user, or an address: its limits are one"),
    Column("left_", Double, nullable=False, doc="items that it might submit at once, at `at_us`"),
    Column("at_us", Big, nullable=False, doc="when it submitted last"),
    UniqueConstraint("pipeline_id", "name"),
)

submission = Table(
    "submission",
    metadata,
    Column("item_id", Big, primary_key=True, autoincrement=False, doc="a row of `item`"),
    Column("client_id", ForeignKey("client.id"), nullable=False),
    Column("is_over", SmallInteger, nullable=False, doc="1: was at its end when last counted"),
    Index(None, "client_id", "is_over"),
)
