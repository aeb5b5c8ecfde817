"""The types of the ids by which the store knows what it holds."""

from typing import NewType

ItemId = NewType("ItemId", int)
TaskId = NewType("TaskId", int)
VersionId = NewType("VersionId", int)
WorkerId = NewType("WorkerId", int)
AttemptId = NewType("AttemptId", bytes)  # the 16 bytes of a UUIDv7
HERE = 0  # the number of the place of paths on this site's own hosts
