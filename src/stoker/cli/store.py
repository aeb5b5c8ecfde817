"""`stoker store`: the verbs that look after the store itself."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli.render import (
    COLOURS,
    data,
    human_bytes,
    json_line,
    plural,
    say,
    table,
    visible,
)
from stoker.cli.scope import (
    Scope,
    be_sure,
    command,
    dry_run_option,
    group,
    is_interactive,
    json_option,
)
from stoker.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from stoker.store.database.relocate import Relocated

_NAMED = 20  # violations of one kind that people are shown


@group()
def store() -> None:
    """Make, check, upgrade, move and back up the store.

    The store is the record of everything: an SQLite file beside `stoker.toml`, or a database on a
    server. `stoker push` and `stoker run` create it automatically.
    """


@command()
@json_option
def create(scope: Scope, as_json: bool) -> None:
    """Create the store's tables, and report what was created.

    On a server the empty database must exist. Repeating the command changes nothing.
    """
    with scope.project() as project:
        made = project.create_store()
    if as_json:
        json_line(made)
        return
    word = "made" if made.is_new else "there already:"
    data(f"{word} the store `{made.url}`: {plural(made.tables, 'table')}, schema {made.schema}")
    data(f"site `{made.site}`, {made.uid}")


@command()
@dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def upgrade(scope: Scope, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Bring a store of an earlier release up to this one; show the plan first.

    Stop all workers first. A copy of an SQLite file is kept beside the new one; of a database on a
    server, make a dump first, with the command that the plan shows.
    """
    with scope.project() as project:
        plan = project.upgrade_store(dry_run=True)
        if as_json and (dry_run or not plan.steps):
            from stoker.project.answers import UpgradeAnswer

            json_line(UpgradeAnswer.of(plan, dry_run=dry_run))
            return
        if not plan.steps:
            data(f"nothing to do: the store is of schema {plan.before}, as this release needs it")
            return
        say(f"the store is of schema {plan.before}; this release needs {plan.after}:")
        for step in plan.steps:
            say(f"  {step.number}  {step.text}")
        if plan.backup is not None:
            say(f"  before that, the file as it is goes to {plan.backup}")
        if plan.dump_command is not None:
            say(f"  make a dump first: {plan.dump_command}")
        if dry_run:
            return
        _ask(yes=yes, question="Go on?", what="upgrade the store")
        done = project.upgrade_store()
    if as_json:
        from stoker.project.answers import UpgradeAnswer

        json_line(UpgradeAnswer.of(done, dry_run=False))
        return
    data(f"the store is of schema {done.after} now")


@command()
@click.option(
    "--journal", "replay", is_flag=True, help="Compare the journal with the tables, too: minutes."
)
@json_option
def check(scope: Scope, replay: bool, as_json: bool) -> int:
    """Check the store's invariants; work may go on meanwhile.

    The exit status is 1 if one is violated, which is a defect of Stoker or of the disk.
    """
    n = 0
    with scope.reading() as project:
        for one in project.check_store(replay=replay):
            n += len(one.violations)
            if as_json:
                json_line(one)
                continue
            word = "fail" if one.violations else "ok"
            data(f"{click.style(f'{word:<5}', fg=COLOURS[word])} {one.check:<16} {one.promise}")
            for text in one.violations[:_NAMED]:
                data(f"{'':6} {visible(text)}")
            if len(one.violations) > _NAMED:
                data(f"{'':6} and {len(one.violations) - _NAMED:,} more; --json has them all")
    if n:
        say(
            "something does not hold: put a copy by (`stoker store backup FILE`), and report it with "
            "what stands above"
        )
    return 1 if n else 0


_FILE = click.Path(path_type=Path, dir_okay=False)


@command()
@click.argument("url", metavar="URL")
@click.option(
    "--password-file", metavar="FILE", type=click.Path(), help="Whose first line is the password."
)
@dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def copy(
    scope: Scope, url: str, password_file: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Move the project's store to another database, with its whole history.

    URL is written as in `[store] url`: an SQLite file or an empty database on a server. Stop all
    workers first. Every row is compared afterwards, with the journal too. From then on the old store
    reports where it was moved to, and accepts no changes.
    """
    with scope.project() as project:
        if not dry_run:
            _ask(
                yes=yes, question="Move the store? The old one is closed for good.", what="move it"
            )
        done = project.move_store(
            url, password_file=password_file, on_table=_progress(as_json), dry_run=dry_run
        )
    _tell(done, "copied", dry_run=dry_run, as_json=as_json)
    if as_json or dry_run:
        return
    data(f"all rows are the same, and so are {plural(done.replayed, 'item')} made from the journal")
    data("now write in `stoker.toml`:")
    data("[store]")
    data(f'url = "{done.to}"')
    if password_file is not None:
        data(f'password_file = "{password_file}"')


@command()
@click.argument("file", metavar="FILE", type=_FILE)
@dry_run_option
@json_option
def backup(scope: Scope, file: Path, dry_run: bool, as_json: bool) -> None:
    """Make a copy of the store as it is at this moment; work may go on.

    FILE is an SQLite file, whatever database holds the store; `stoker store restore` makes a store of
    any kind from it. It does not contain logs and results.
    """
    with scope.project() as project:
        done = project.back_up_store(file, on_table=_progress(as_json), dry_run=dry_run)
        dump = project.dump_command()
    _tell(done, "copied", dry_run=dry_run, as_json=as_json)
    if dump is not None and not as_json:
        say(f"of a large store, the server's own tool makes a copy faster: {dump}")


@command()
@click.argument("file", metavar="FILE", type=_FILE)
@dry_run_option
@json_option
def restore(scope: Scope, file: Path, dry_run: bool, as_json: bool) -> None:
    """Create the project's store from a backup, where none exists.

    Tasks that ran when the backup was made are ready again. Tasks done since then must be done again;
    `stoker adopt` takes over existing results.
    """
    with scope.project() as project:
        done = project.restore_store(file, on_table=_progress(as_json), dry_run=dry_run)
    _tell(done, "restored", dry_run=dry_run, as_json=as_json)


@command()
@json_option
def size(scope: Scope, as_json: bool) -> None:
    """Show how much space the store, the logs and the scratch of this host take, and for what."""
    with scope.project() as project:
        found = project.store_extent()
    if as_json:
        json_line(found)
        return
    table(
        ["table", "rows", "size", "holds"],
        [
            [one.name, f"{one.rows:,}", human_bytes(one.size_bytes), one.holds]
            for one in found.tables
            if one.rows
        ],
        right=("rows", "size"),
    )
    data()
    free = f", of which {human_bytes(found.free_bytes)} are free" if found.free_bytes else ""
    data(f"store    {human_bytes(found.store_bytes)}{free}")
    data(f"logs     {human_bytes(found.logs_bytes)} in {plural(found.logs_files, 'file')}")
    data(f"scratch  {human_bytes(found.scratch_bytes)}")


def _ask(*, yes: bool, question: str, what: str) -> None:
    if yes:
        return
    if not is_interactive():
        raise Refused(f"nobody can be asked here: say --yes to {what}")
    be_sure(question)


def _progress(as_json: bool) -> "Callable[[str, int], None] | None":
    """Return a callback that reports each copied table to a person."""
    if as_json:
        return None
    return lambda name, rows: say(f"  {name}: {plural(rows, 'row')}") if rows else None


def _tell(done: "Relocated", word: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        from stoker.project.answers import CopyAnswer

        json_line(CopyAnswer.of(done, dry_run=dry_run))
        return
    word = f"would be {word}" if dry_run else word
    tables = sum(1 for rows in done.tables.values() if rows)
    data(f"{word}: {plural(done.rows, 'row')} of {plural(tables, 'table')}, to `{done.to}`")


for _verb in (create, upgrade, check, copy, backup, restore, size):
    store.add_command(_verb)
