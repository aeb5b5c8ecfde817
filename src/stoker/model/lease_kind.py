"""What ends a worker's lease; apart from the rest of a worker, as reading commands need only this."""

from enum import IntEnum


class LeaseKind(IntEnum):
    """What ends a worker's lease: its silence, or only a word that it is gone."""

    HEARTBEAT = 0  # it renews the lease itself, and is dead when it has not
    DETACHED = 1  # it runs where no store is, and is heard of now and then
