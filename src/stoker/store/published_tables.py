"""The tables of what attempts published: outputs, who owns which path, and at which place it is.

A path is a path at a place: the same text at two places is two files. `store/tables.py` exports
these too.
"""

from sqlalchemy import Column, Integer, SmallInteger, String, Table

from stoker.store.columns import Big, Bytes, Head, Id16, Name, metadata

place = Table(
    "place",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, doc="0, without a row: here"),
    Column("name", Name, nullable=False, unique=True),
)

output = Table(
    "output",
    metadata,
    Column("attempt", Id16, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("path", Bytes, nullable=False),
    Column("place", SmallInteger, nullable=False, default=0, doc="where it is: see `place`"),
    Column("size_bytes", Big, nullable=False),
    Column("checksum", String(80), nullable=False),
)

temporary = Table(
    "temporary",
    metadata,
    Column("attempt", Id16, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("task_id", Big, nullable=False, index=True),
    Column("path", Bytes, nullable=False, doc="deleted once nothing more is made from it"),
    Column("place", SmallInteger, nullable=False, default=0, doc="where it is: see `place`"),
    Column("removed_us", Big, doc="NULL: the file is there"),
    Column(
        "kept",
        Bytes,
        doc="a path that was not as published, and stayed; NULL: none; empty: to be seen at its place",
    ),
)

publication = Table(
    "publication",
    metadata,
    Column("digest", Id16, primary_key=True, doc="of place and path; a path may be long for a key"),
    Column("path", Bytes, nullable=False, doc="absolute; owned by the task for good"),
    Column("place", SmallInteger, nullable=False, default=0, doc="where it is: see `place`"),
    Column("task_id", Big, nullable=False, index=True),
    Column("attempt", Id16, nullable=False, doc="the last that reserved it"),
    Column("head", Head, nullable=False, index=True, doc="the first bytes of the path"),
    Column("size_bytes", Big, nullable=False, doc="of what that attempt was to publish there"),
    Column("checksum", String(80), nullable=False),
    Column("was_size_bytes", Big, doc="of what was there before; NULL: nothing of the task's"),
    Column("was_checksum", String(80)),
)

folder_part = Table(
    "folder_part",
    metadata,
    Column("digest", Id16, primary_key=True, doc="of a published folder, as in `publication`"),
    Column("checksum", String(80), primary_key=True, doc="of the folder, which may be replaced"),
    Column("position", Integer, primary_key=True),
    Column("digests", Bytes, nullable=False, doc="8 bytes for each file, folder and link in it"),
)
