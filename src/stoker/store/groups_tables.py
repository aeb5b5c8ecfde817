"""The tables of groups: which items belong together, and what was known of them at registration.

All of it follows from items and their tasks: it can be made again by looking at every item once. A
group becomes an item of its own pipeline; the columns `told…` are as they were when that item was registered,
or registered again, and the rest is as it is now.

`store/tables.py` defines all other tables.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from stoker.store.columns import Big, Bytewise, Long, Name, metadata

item_group = Table(
    "item_group",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("key", Bytewise, nullable=False, doc="what its members have in common"),
    Column("number", Integer, doc="of a volume: 1, 2, …"),
    Column("revision", Integer, nullable=False, doc="raised whenever a member changes"),
    Column(
        "due_us", Big, doc="when to decide about it; 0: count first; NULL: once a member changes"
    ),
    Column("members", Integer, nullable=False),
    Column("over_n", Integer, nullable=False, doc="of its members, those that are over"),
    Column("done_n", Integer, nullable=False),
    Column("bad_n", Integer, nullable=False, doc="failed or cancelled"),
    Column(
        "changed_n", Integer, nullable=False, doc="otherwise than registered, or not registered yet"
    ),
    Column(
        "ignored_n", Integer, nullable=False, doc="of the changed ones: `on_change` lets them be"
    ),
    Column("forgotten_n", Integer, nullable=False, doc="whose items were pruned"),
    Column("least_expected", Integer, doc="of what members say of their number"),
    Column("most_expected", Integer),
    Column("since_us", Big, nullable=False, doc="when its first member came"),
    Column("added_us", Big, nullable=False, doc="when its last new member came"),
    Column("waits_for", Long, doc="what it waits for beside its members, in words"),
    Column("trouble", Long, doc="why it can never be complete as it is"),
    Column("closed_by", Name, doc="who said that it is complete as it is"),
    Column("item_id", Big, doc="its item; NULL: none yet, or it was pruned"),
    Column("told_us", Big, doc="when it was complete last; NULL: never"),
    Column("told_members", Integer),
    Column("told_missing", Integer),
    UniqueConstraint("source_id", "key"),
    Index("item_group_due", "source_id", "due_us"),
    Index("item_group_item", "item_id"),
)

member = Table(
    "member",
    metadata,
    Column("item_id", Big, primary_key=True, autoincrement=False),
    Column("source_id", ForeignKey("source.id"), primary_key=True),
    Column("copy", SmallInteger, primary_key=True, doc="0; of volumes 1, 2, … when done again"),
    Column("group_id", Integer, doc="NULL: in none"),
    Column("state", SmallInteger, nullable=False, doc="as of `MemberState`"),
    Column("tries", Integer, nullable=False, doc="attempts so far, of all steps that count"),
    Column("attempt", String(32), doc="the newest of them, in hexadecimal digits"),
    Column("expected", Integer, doc="what it says of the number of members"),
    Column("size_bytes", Big, nullable=False),
    Column("added_us", Big, nullable=False),
    Column("fault", Long, doc="why it is in no group, though it should be"),
    Column("is_forgotten", Boolean, nullable=False, doc="its item was pruned"),
    Column("told_state", SmallInteger, doc="NULL: not registered yet"),
    Column("told_tries", Integer),
    Index("member_group", "group_id", "state"),
)
