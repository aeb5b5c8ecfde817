"""The tables of messages: how far the journal has been read for them, and what is to be sent.

`store/tables.py` defines all other tables and imports this module with them.
"""

from sqlalchemy import Column, Integer, Table

from stoker.store.columns import Big, Json, Long, Name, metadata

notifier = Table(
    "notifier",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="1: there is one"),
    Column("epoch", Integer, nullable=False, doc="the journal's"),
    Column("seq", Big, nullable=False, doc="the journal's row up to which messages know it"),
    Column("holder", Name, nullable=False, doc="the service that sends; others wait"),
    Column("held_until_us", Big, nullable=False),
    Column("troubles", Json, nullable=False, doc="those that have been reported and still are"),
)

message = Table(
    "message",
    metadata,
    Column("name", Name, primary_key=True, doc="of the entry in `[notify]`"),
    Column("recipient", Name, primary_key=True, doc="who it is for; empty: as the entry says"),
    Column("pending", Json, nullable=False, doc="what has happened since the last message"),
    Column("n", Big, nullable=False, doc="how much that is"),
    Column("sent_us", Big, doc="when the last one was delivered; NULL: none was"),
    Column("tries", Integer, nullable=False, doc="deliveries that failed since"),
    Column("not_before_us", Big, nullable=False, doc="when to try again"),
    Column("trouble", Long, doc="why the last delivery failed; NULL: it did not"),
)
