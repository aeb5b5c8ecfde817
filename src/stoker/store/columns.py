"""The types of the store's columns, and how its constraints are named."""

from sqlalchemy import (
    BINARY,
    VARBINARY,
    BigInteger,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
)

from stoker.store.dialects.constructs import BytewiseText, LongBytes, LongText

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

# 64-bit everywhere; SQLite makes only a plain INTEGER primary key an alias of the row id.
Big = BigInteger().with_variant(Integer, "sqlite")
# Compared bytewise on every database, so that ranges of keys mean the same everywhere.
Bytewise = (
    String(1000)
    .with_variant(String(1000, collation="C"), "postgresql")
    .with_variant(BytewiseText(1000), "mariadb")
)
NAME_LENGTH = 200
Name = String(NAME_LENGTH)
Long = Text().with_variant(LongText(), "mariadb")
Json = Long
Bytes = LargeBinary().with_variant(LongBytes(), "mariadb")
Head = LargeBinary(255).with_variant(VARBINARY(255), "mariadb")  # of a path, for an index
Id16 = LargeBinary(16).with_variant(BINARY(16), "mariadb")  # the bytes of a UUIDv7
