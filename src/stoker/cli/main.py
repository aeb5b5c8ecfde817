"""The entry point: finds the command, and turns errors into messages and exit codes.

A command's module is imported only when that command runs, so that `stoker --version` is quick. The
short help of every command stands in `COMMANDS`; a test holds that it is the command's own.
"""

import gc
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

from stoker import __version__
from stoker.cli.ending import ReaderGone, answered, let_second_interrupt_kill
from stoker.cli.scope import Scope, project_option
from stoker.errors import Bug

ALLOCATIONS = 250_000  # between two looks for garbage, of which commands make little


class Entry(NamedTuple):
    """Where a command is and what it is for, in one line."""

    module: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "init": Entry("init", "Write a starter `stoker.toml` here."),
    "check": Entry("check", "Report everything that is wrong with `stoker.toml`."),
    "apply": Entry("apply", "Bring the pipelines of this file into the store."),
    "push": Entry("push", "Register items; pushing twice registers once."),
    "plan": Entry("plan", "Show what would happen, in which order and how long; change nothing."),
    "adopt": Entry("adopt", "Mark tasks done whose outputs exist already."),
    "run": Entry("run", "Register, then work until nothing is left to do."),
    "up": Entry(
        "up",
        "Run the service: sources, a worker, pilots, the web service and housekeeping, until stopped.",
    ),
    "work": Entry("work", "Run one more worker on this host."),
    "status": Entry("status", "Count items and tasks by state."),
    "items": Entry("lists", "List items."),
    "tasks": Entry("lists", "List tasks."),
    "attempts": Entry("lists", "List attempts, oldest first."),
    "show": Entry("show", "Show the whole story of an item in order."),
    "logs": Entry("logs", "Print what an attempt wrote to stdout and stderr."),
    "failures": Entry("failures", "Group failed tasks by step and cause, most frequent first."),
    "why": Entry("why", "Give the one reason why an item's task is not running."),
    "values": Entry("values", "Write parameters and values of items as a table."),
    "retry": Entry("change", "Make failed tasks ready again."),
    "rerun": Entry("change", "Do tasks again, with all that follow from them."),
    "cancel": Entry("change", "Give tasks up; running ones are stopped."),
    "hold": Entry("change", "Keep tasks from starting until they are released."),
    "release": Entry("change", "Let held tasks go on."),
    "priority": Entry("change", "Make the items of the selected tasks come earlier or later."),
    "verify": Entry(
        "verify", "Compare outputs with their records: whether they exist and have their size."
    ),
    "shell": Entry("shell", "Open a shell as an attempt would see it; nothing is recorded."),
    "which": Entry(
        "which", "Name the attempt that made a file, and the archive volumes that hold it."
    ),
    "pool": Entry("pool", "Show pools and who holds their slots."),
    "workers": Entry("fleet", "List workers."),
    "group": Entry("group", "Show groups and what they wait for, and complete one as it is."),
    "batch": Entry(
        "batch", "Submit workers to a batch system as jobs, and see what became of them."
    ),
    "site": Entry("site", "Visit the other places where steps run, and see what is out there."),
    "user": Entry("user", "Manage the users who may sign in to the web service."),
    "token": Entry("user", "Manage the tokens by which programs use the web service."),
    "notify": Entry("notify", "Show who gets messages, and try whether they arrive."),
    "transfer": Entry(
        "transfer", "Copy a file to another host, or from one, and read it back there."
    ),
    "volume": Entry("volume", "Pack archive volumes, verify them, and find files in them."),
    "prune": Entry("prune", "Forget old items that are done or cancelled."),
    "store": Entry("store", "Make, check, upgrade, move and back up the store."),
    "report": Entry("report", "Write the state as one self-contained page."),
    "doctor": Entry("doctor", "Check this installation and say what to do."),
    "completion": Entry(
        "completion", "Let Tab complete commands, options, pipelines, steps, states and keys."
    ),
}


HIDDEN = {  # for machines
    "pilot": Entry("pilot", "Be the worker of a pilot."),
    "outpost": Entry("outpost", "Be the far end of a visit, or a worker that has no store."),
}
FIRST_STEPS = (
    ("init", "write a starter file, and put your commands into it"),
    ("check", "find all mistakes in it"),
    ("run PIPELINE FILE...", "register files and work until nothing is left"),
)
SECTIONS = {
    "Start": ("init", "check", "apply", "push", "plan", "adopt"),
    "Run": ("run", "up", "work"),
    "Look": (
        *("status", "items", "tasks", "attempts", "show", "logs", "failures", "why", "which"),
        *("values", "group", "pool", "workers", "batch", "site", "report"),
    ),
    "Share": ("user", "token"),
    "Repair": ("retry", "rerun", "cancel", "hold", "release", "priority", "verify", "shell"),
    "Keep house": ("notify", "transfer", "volume", "prune", "store", "doctor", "completion"),
}


class Commands(click.Group):
    """The group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all names, in the order of the life of a project."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import and return one command."""
        entry = COMMANDS.get(cmd_name) or HIDDEN.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"stoker.cli.{entry.module}")
        command = getattr(module, cmd_name)
        if not isinstance(command, click.Command):
            raise Bug(f"`{cmd_name}` in `{module.__name__}` is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; the nearest right name for a misspelt one."""
        name = args[0]
        if name not in {**COMMANDS, **HIDDEN} and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "`stoker --help` lists them"
            raise click.UsageError(f"there is no command `{name}`; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A broken pipe is not left to click, which would exit with status 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands by what people do with them, without importing them."""
        with formatter.section("First steps"):
            formatter.write_dl([(f"stoker {words}", text) for words, text in FIRST_STEPS])
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name].summary) for name in names])


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="stoker", message="%(prog)s %(version)s")
@project_option
@click.pass_context
def cli(context: click.Context) -> None:
    """Keep machines fed with data: every item once through a pipeline, with a record of everything.

    The project is the folder of the nearest `stoker.toml` upwards from here.
    """
    context.ensure_object(Scope)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the command's exit code.

    A third of a short command's time would go into looking for garbage among what is imported.
    """
    gc.set_threshold(ALLOCATIONS)
    let_second_interrupt_kill()
    code = run(arguments)
    gc.freeze()  # what is there now goes with the process
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. No error leaves this function."""
    _survive_odd_names()
    return answered(
        lambda: cli.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="stoker",
            standalone_mode=False,
        )
    )


def _survive_odd_names() -> None:
    """Names that are no UTF-8 come out as the bytes they are, and never end a command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")
