"""`stoker pool`: who holds the slots of pools, and how many there are to give out."""

from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, human_time, json_line, plural, say, table
from stoker.cli.scope import (
    Scope,
    command,
    dry_run_option,
    group,
    json_option,
    reason_option,
)

if TYPE_CHECKING:
    from stoker.store.status_rows import SlotRow


class _ListFirst(click.Group):
    """A group that lists where no command is named: `stoker pool ram` is `stoker pool list ram`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` in front where it was left out."""
        is_named = bool(args) and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if is_named else ["list", *args])


@group(cls=_ListFirst)
def pool() -> None:
    """Show pools and who holds their slots.

    `stoker pool` alone, or with the name of a pool, lists.
    """


@command(name="list")
@click.argument("name", required=False, metavar="[POOL]")
@json_option
def list_slots(scope: Scope, name: str | None, as_json: bool) -> None:
    """List the slots of pools, and who holds them."""
    with scope.reading() as project:
        rows = project.slots(pool=name)
    if as_json:
        for row in rows:
            json_line(row)
        return
    if not rows:
        say(
            "there are no slots; `[pools]` in `stoker.toml` declares pools"
            if name is None
            else f"there is no slot of a pool `{name}`; `stoker pool` lists what there is"
        )
        return
    _show(rows)


def _show(rows: "list[SlotRow]") -> None:
    hosts = {row.host for row in rows if row.host}
    heads = ["pool", "host", "slot", "held by", "step", "worker", "since"]
    shown = [
        [
            row.pool,
            row.host or "",
            row.slot + (" (retired)" if row.is_retired else ""),
            row.item or "",
            row.step or "",
            row.worker or "",
            human_time(row.since) if row.since else "",
        ]
        for row in rows
    ]
    if not hosts:
        heads, shown = _without(heads, 1), [_without(row, 1) for row in shown]
    table(heads, shown)


def _without(cells: list[str], at: int) -> list[str]:
    return cells[:at] + cells[at + 1 :]


@command(name="set")
@click.argument("name", metavar="POOL")
@click.argument("slots", nargs=-1, required=True, metavar="N|SLOT...")
@dry_run_option
@reason_option
@json_option
def set_slots(
    scope: Scope,
    name: str,
    slots: tuple[str, ...],
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Give a pool more or fewer slots from now on, or none.

    One number says how many; several words name them all. What runs goes on: a slot that is held
    and no longer wanted is not given out again. It holds until `stoker.toml` says something else of
    the pool.
    """
    number = slots[0] if len(slots) == 1 and slots[0].isdecimal() else None
    wanted = slots if number is None else int(number)
    with scope.reading() as project:
        change = project.set_pool(name, wanted, reason=reason, dry_run=dry_run)
    if as_json:
        from stoker.project.answers import PoolAnswer

        json_line(PoolAnswer(dry_run=dry_run, change=change))
        return
    if change is None:
        say(f"nothing changes: pool `{name}` has these slots")
        return
    would = "would have" if dry_run else "has"
    now = plural(change.after, "slot")
    held = f"; {change.retired_but_held} more end with their attempts" if change.retired_but_held else ""  # fmt: skip
    data(f"pool `{name}` {would} {now} ({change.before} before){held}")


pool.add_command(list_slots)
pool.add_command(set_slots)
