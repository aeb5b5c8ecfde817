"""The keys of a batch system, that is of `[batch.NAME]`."""

from typing import Annotated

from pydantic import Field

from stoker.model import bounds
from stoker.spec.shapes import Cpus, Name, Size, Table, Time, explained, within

Words = Annotated[list[str], Field(min_length=1)]


class CommandsTable(Table):
    """Three commands that stand for a batch system: each reads JSON and writes JSON."""

    submit: Words | None = explained(
        "The command that submits one pilot and prints its id.",
        "It runs whenever the work needs another pilot.",
        example=["./kube.py", "submit"],
        absent="required",
    )
    status: Words | None = explained(
        "The command that prints the state of pilots.",
        "It runs at every visit, with the names of all pilots that are not over.",
        example=["./kube.py", "status"],
        absent="required",
    )
    cancel: Words | None = explained(
        "The command that ends pilots.",
        "It runs when pilots are not needed any more, and for `stoker batch cancel`.",
        example=["./kube.py", "cancel"],
        absent="required",
    )


class BatchTable(Table):
    """A batch system, and the pilots that are submitted to it: jobs that bring a worker each."""

    system: str | None = explained(
        "The batch system: `slurm` or `gridengine`.",
        "Stoker submits pilots by its commands. For any other system give `commands`.",
        example="slurm",
        absent="`commands` is required",
    )
    commands: CommandsTable | None = explained(
        "Three commands that submit, watch and cancel jobs of any other system.",
        "They are used instead of `system`.",
        example={
            "submit": ["./k", "submit"],
            "status": ["./k", "status"],
            "cancel": ["./k", "cancel"],
        },
    )
    time_limit: Annotated[Time, within(bounds.PILOT_S)] | None = explained(
        "How long one pilot lives; at least five minutes.",
        "A pilot starts only tasks that are expected to end in time, and ends before the batch system "
        "would end it.",
        example="4h",
        absent="required",
    )
    cpus: Cpus = explained(
        "The number of cpus of one pilot.",
        "The pilot runs so many one-cpu tasks at once.",
        default=1,
        example=8,
    )
    memory: Size | None = explained(
        "The memory of one pilot.",
        "Steps with a larger `memory` do not run in it.",
        example="16G",
        absent="the batch system's default",
    )
    gpus: Annotated[int, within(bounds.GPUS)] = explained(
        "The number of GPUs of one pilot.",
        "The batch system is asked for so many.",
        default=0,
        example=1,
    )
    max_pilots: Annotated[int, within(bounds.PILOTS)] = explained(
        "The largest number of pilots, waiting and running together.",
        "Stoker submits as many as the ready work needs, and never more than this.",
        default=10,
        example=20,
    )
    options: list[str] = explained(
        "More options for `sbatch` or `qsub`, one word each.",
        "They are passed on as they are. Time, name, output, array and requeue are Stoker's; `stoker "
        "check` refuses those.",
        default=[],
        example=["--partition=main", "--account=ab12"],
    )
    prepare: str | None = explained(
        "Shell text that runs on the node before the worker starts.",
        "Its environment is that of the worker and of all attempts.",
        example="module load octave",
    )
    tags: list[Name] | None = explained(
        "What the pilots offer, in names of your own.",
        "Steps with `needs` run only in pilots that have all tags that they need.",
        example=["cluster"],
        absent="the `tags` of `[worker]`",
    )
    via: str = explained(
        "How nodes reach the store: `database` or `files`.",
        "With `files` they need no database, but see this folder at the same path: tasks and their ends "
        "pass through files in `.stoker/batch`.",
        default="database",
        example="files",
    )
    ssh: str | None = explained(
        "The host on which the commands of the batch system run.",
        "They are called over ssh. The host must see the project's folder at the same path.",
        example="login1",
        absent="this host",
    )
    site: Name | None = explained(
        "The site in `[sites]` whose batch system this is.",
        "Its pilots run steps of that site, and need no database.",
        example="lyon",
        absent="this site",
    )
