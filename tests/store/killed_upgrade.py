"""Upgrades a store of the schema before three further steps, and dies by SIGKILL on the way.

Run as a script, it forks an upgrade for every line `URL MIGRATIONS N` of its standard input, which
dies just before its N-th change or commit, and answers with its exit code: 0 if it came to its end.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from stoker.store.database import schema

BEFORE = schema.HEAD
FIRST, SECOND, HEAD = (f"{int(BEFORE) + n:04}" for n in (1, 2, 3))
STEPS = {
    FIRST: ("Give items a colour.", """
    can_tell = op.get_bind().dialect.name != "sqlite"  # where it is not needed
    op.add_column("item", sa.Column("colour", sa.Integer()), if_not_exists=can_tell)
    op.execute("UPDATE item SET colour = 7 WHERE colour IS NULL")
"""),
    SECOND: ("Keep what colours are called.", """
    op.create_table(
        "shade", sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(40), nullable=False), if_not_exists=True,
    )
    op.create_index("shade_name", "shade", ["name"], unique=True, if_not_exists=True)
    op.execute("INSERT INTO shade SELECT 7, 'red' WHERE NOT EXISTS (SELECT 1 FROM shade)")
"""),
    HEAD: ("Find items by their colour.", """
    op.create_index("item_colour", "item", ["colour"], if_not_exists=True)
    op.execute("UPDATE item SET colour = 8 WHERE colour = 7")
"""),
}  # fmt: skip
CHANGES = ("ALTER", "CREATE", "INSERT", "UPDATE")
UNDO = (
    "DROP INDEX item_colour", "DROP TABLE shade", "ALTER TABLE item DROP COLUMN colour",
    f"UPDATE alembic_version SET version_num = '{BEFORE}'",
)  # fmt: skip


def write_steps(folder: Path) -> None:
    """The folder of migrations has those of a release that is three steps ahead."""
    before = BEFORE
    for number, (text, body) in STEPS.items():
        (folder / "versions" / f"{number}_test.py").write_text(
            f'"""{text}"""\nimport sqlalchemy as sa\nfrom alembic import op\n'
            f'revision, down_revision = "{number}", "{before}"\ndef upgrade():{body}'
        )
        before = number


class Killer:
    """The parent's side."""

    def __init__(self, migrations: Path) -> None:
        self.migrations = migrations
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def upgrade(self, url: str, *, until: int) -> bool:
        """Whether the upgrade died before its change or commit of that number."""
        self._process.stdin.write(f"{url} {self.migrations} {until}\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        assert code in (0, -signal.SIGKILL), f"the upgrade ended with {code}"
        return code != 0

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def serve() -> None:
    """Fork an upgrade for every request, and answer with its exit code."""
    import alembic.command
    import alembic.config  # noqa: F401 - once, instead of in each

    import stoker.store.database.upgrade  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(upgrade(*line.split()))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def upgrade(url: str, migrations: str, until: str) -> int:
    """Upgrade the store, or die."""
    from sqlalchemy import event

    from stoker.store.database import schema
    from stoker.store.database.connect import bare
    from stoker.store.database.upgrade import upgrade

    schema.MIGRATIONS, schema.HEAD = Path(migrations), HEAD
    left = int(until)

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.split(maxsplit=1)[0] in CHANGES:
            count()

    with bare(url) as store:
        event.listen(store.engine, "before_cursor_execute", see)
        event.listen(store.engine, "commit", count)
        upgrade(store)
    return 0


if __name__ == "__main__":
    serve()
