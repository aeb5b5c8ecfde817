"""Commands that change nothing take no lock: they answer while another process holds the store's."""

import sqlite3
import time
from contextlib import closing

LIMIT_S = 8.0  # less than the 30 s that a writer waits; on an idle machine it is half a second
COMMANDS = (
    ("push", "count", "data"),
    ("push", "count", "data/a.txt"),
    ("push", "count", "data", "--dry-run"),
    ("apply",),
    ("run",),
    ("run", "count", "data/a.txt"),
    ("up", "--once"),
    ("status",),
    ("items",),
    ("show", "a.txt"),
    ("failures",),
    ("plan",),
    ("retry",),
    ("store", "create"),
)


def test_commands_with_nothing_to_do_answer_while_the_store_is_locked(lab):
    lab.write("data/a.txt")
    lab.write("data/b.txt")
    lab("run")
    lab("status")
    with closing(sqlite3.connect(lab.folder / ".stoker/stoker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for words in COMMANDS:
            began_s = time.monotonic()
            ended = lab(*words)
            assert time.monotonic() - began_s < LIMIT_S, (words, ended.err)
