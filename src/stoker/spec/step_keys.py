"""The keys of a step, and of what holds for all steps of a pipeline."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from stoker.model import bounds
from stoker.model.web import MEDIA_TYPE
from stoker.spec.shapes import (
    FUNCTION_PATTERN,
    M_FUNCTION_PATTERN,
    R_FUNCTION_PATTERN,
    VARIABLE_PATTERN,
    Cpus,
    Name,
    ShortTable,
    Size,
    Sizes,
    Table,
    Time,
    Word,
    explained,
    within,
)

RESERVED_STEP_KEYS = ("serve", "per", "group")

VerdictWord = Literal["done", "skip", "stop", "later", "retry", "fail"]


class OutputTable(ShortTable):
    """One output: what the tool writes, and where it is published."""

    to: str | None = explained(
        "The path where the output is published; a template.",
        "The tool writes to `{out.NAME}` in scratch, and the file is moved to this path when the attempt "
        "has succeeded. With a slash at the end it is a folder.",
        example="results/{key}.csv",
        absent="required",
    )
    pick: str | None = explained(
        "A glob in the scratch folder, for a tool that names its output itself.",
        "The files that it matches are published. If `to` ends with a slash, each keeps its own name.",
        example="*.log",
        absent="what the tool wrote to `{out.NAME}`",
        alias="from",
    )
    optional: bool = explained(
        "Whether the output may be missing.",
        "If false, an attempt that does not make the output has failed.",
        default=False,
        example=True,
    )
    temp: bool = explained(
        "Whether the output is needed only by later steps.",
        "If true, it is deleted when the last step that follows is done. An output of a step that "
        "nothing follows is kept.",
        default=False,
        example=True,
    )
    overwrite: bool = explained(
        "Whether the output may replace a file that Stoker did not write.",
        "If false, such a file at the path makes the attempt fail with `output_conflict`.",
        default=False,
        example=True,
    )
    stage: Literal["beside"] | None = explained(
        "Where the output is written before it is published.",
        'With `"beside"` it is written on the target\'s file system, under a hidden name, and then renamed. '
        "This saves a copy where scratch is on another disk.",
        example="beside",
        absent="in scratch",
    )
    media: Annotated[str, Field(pattern=f"^{MEDIA_TYPE}$")] | None = explained(
        "The media type of the output.",
        "The web service sends it as `Content-Type`.",
        example="text/csv",
        absent="guessed from the file's suffix",
    )
    title: str = explained(
        "What the output is, in a few words for people.",
        "Pages and the web service's documents show it.",
        default="",
        example="Table of hits",
        absent="the output's name",
    )


def _long_output(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


class CauseTable(Table):
    """A known failure: how its messages look, what it means, what to do about it."""

    match: str = explained(
        "A regular expression that recognises the failure.",
        "It is searched in the reason of a failed attempt and in what the attempt wrote to stderr and "
        "stdout. `^` and `$` are the beginning and end of a line.",
        default="",
        example="no license",
        absent="required",
    )
    say: str = explained(
        "What the failure means, in your own words.",
        "`stoker failures` groups matching failures under these words.",
        default="",
        example="MATLAB licences used up",
        absent="required",
    )
    do: str = explained(
        "What to do about it.",
        "Shown as advice wherever the cause is shown.",
        default="",
        example="wait, then `stoker retry --match license`",
    )


class DefaultsTable(Table):
    """Settings for every step of a pipeline that does not set its own."""

    env: dict[Annotated[str, Field(pattern=VARIABLE_PATTERN)], str] = explained(
        "Environment variables of the attempts; the values are templates.",
        "They are added to the environment of the worker, after `prepare`.",
        default={},
        example={"OMP_NUM_THREADS": "{cpus}"},
    )
    prepare: str | None = explained(
        "Shell text that sets up the environment, such as modules or conda.",
        "A worker runs it once before its first attempt of the step, and keeps the environment that it "
        "leaves for all its attempts of the step. If it fails, they fail with its last words. It gets no "
        "values of items; `$STOKER_PROJECT` is the folder of `stoker.toml`.",
        example="module load matlab/2024b",
    )
    interpreter: str | None = explained(
        "The program that calls the function of a `python`, `octave`, `matlab` or `r` step.",
        "The function runs in that program's environment, which does not need to have Stoker.",
        example="/opt/conda/envs/lab/bin/python",
        absent="Stoker's own Python; `octave`, `matlab` or `Rscript` on the PATH",
    )
    cpus: Cpus = explained(
        "The number of cpus that an attempt takes.",
        "An attempt starts only where so many are free. `{cpus}` and `STOKER_CPUS` pass the number to the "
        "tool; Stoker does not keep it from using more.",
        default=1,
        example=8,
    )
    memory: Sizes = explained(
        "The memory that an attempt may use, all its processes together; or a list, one limit for each "
        "try.",
        "An attempt starts only where so much is free, and is ended if it uses more. With a list, each "
        "retry gets the next limit, and the last limit holds for all further ones: most items run with "
        "little, the few large ones get more.",
        default=[],
        example=["4G", "16G"],
        absent="no limit, and none is reserved",
    )
    disk: Annotated[Size, Field(gt=0)] | None = explained(
        "The space that an attempt's scratch folder may take, outputs included.",
        "An attempt that writes more is ended, and fails.",
        example="50G",
        absent="no limit",
    )
    open_files: Annotated[int, within(bounds.OPEN_FILES)] | None = explained(
        "The number of files that a process of an attempt may have open.",
        "Raise it for tools that fail with `Too many open files`.",
        example=8192,
        absent="the host's limit",
    )
    pools: dict[Name, Annotated[int, Field(ge=1, le=bounds.POOL_SLOTS.most)]] = explained(
        "The slots of `[pools]` that an attempt holds, by pool.",
        "An attempt waits until all of them are free, and gives them back when it ends.",
        default={},
        example={"ram": 1},
    )
    needs: list[Name] = explained(
        "Tags that a worker must have.",
        "Only workers that have all of these `tags` run the step.",
        default=[],
        example=["gpu"],
    )
    site: Name | None = explained(
        "The place where the step runs: one of `[sites]`.",
        "The step runs there only. Its files must be there too.",
        example="lyon",
        absent="here",
    )
    together: Name | None = explained(
        "A name shared by steps that must run on one host.",
        "The host that runs an item's first step with this name also runs the item's other steps with it, "
        "so that large files can stay on a local disk.",
        example="disk",
        absent="any host",
    )
    secrets: list[str] = explained(
        "The variables of `[secrets]` that an attempt gets.",
        "No other step sees them.",
        default=[],
        example=["ARCHIVE_TOKEN"],
    )
    timeout: Annotated[Time, Field(gt=0)] | None = explained(
        "The longest time that an attempt may take, publishing included.",
        "After it the attempt's processes are killed, and it has failed as `timed_out`. Waiting in the "
        "queue does not count.",
        example="2h",
        absent="no limit",
    )
    retries: Annotated[int, within(bounds.RETRIES)] = explained(
        "How often a failed task is tried again without a person.",
        "With 2, a task is tried up to three times before it is `failed`. Attempts that ended because a "
        "worker or a node stopped do not count.",
        default=0,
        example=2,
    )
    backoff: Time = explained(
        "The pause before the first retry.",
        "The task waits that long before it is tried again, and twice as long with every further retry, "
        "up to one hour. After an exit code that means `later` the pause stays the same.",
        default=10.0,
        example="1m",
    )
    exits: dict[str, VerdictWord] = explained(
        "What the tool's exit codes mean: `done`, `skip`, `stop`, `later`, `retry` or `fail`.",
        "`done`: success. `skip`: nothing to do, later steps run. `stop`: the item is done here. `later`: "
        "the task is tried again after `backoff`, without using a retry. `retry`: a failure that uses one. "
        "`fail`: it fails at once, whatever retries are left.",
        default={},
        example={"0": "done", "3": "skip", "75": "later"},
        absent="0 is `done`, any other code is `retry`",
    )
    error_markers: list[str] = explained(
        "Regular expressions for lines that mean a failure.",
        "A line of stdout or stderr that matches one fails the attempt, even with exit status 0, and "
        "becomes its reason.",
        default=[],
        example=["(?i)^error:"],
    )
    causes: list[CauseTable] = explained(
        "Known failures with your own words and advice.",
        "`stoker failures` groups by them; the first that matches counts.",
        default=[],
        example=[{"match": "no license", "say": "MATLAB licences used up"}],
    )


class StepTable(DefaultsTable):
    """One step: a command with its needs and outputs.

    Exactly one of `run`, `argv`, `python`, `octave`, `matlab`, `r`.
    """

    run: str | None = explained(
        "The command, as shell text.",
        "It is run by `bash -euo pipefail` in the attempt's scratch folder. Names such as `{item}` become "
        "quoted variables, so that no value is read as shell code.",
        example="sort {item} > {out.sorted}",
    )
    argv: Annotated[list[Word], Field(min_length=1)] | None = explained(
        "The command, word by word, without a shell.",
        "The first word is looked for on the PATH. A list among the words is left out when a value in it "
        "is empty.",
        example=["sort", "-o", "{out.sorted}", "{item}", ["--key", "{params.column}"]],
    )
    python: str | None = explained(
        "A Python function, as `module:function`; the module is beside the file.",
        "It is called in a process that stays for the next item, so that modules are imported once.",
        example="scans:measure",
        pattern=FUNCTION_PATTERN,
    )
    octave: str | None = explained(
        "A function of Octave, in the file `FUNCTION.m`.",
        "It is called in a process that stays for the next item.",
        example="flag_day",
        pattern=M_FUNCTION_PATTERN,
    )
    matlab: str | None = explained(
        "A function of MATLAB, in the file `FUNCTION.m`.",
        "It is called in a process that stays for the next item.",
        example="flag_day",
        pattern=M_FUNCTION_PATTERN,
    )
    r: str | None = explained(
        "A function of R, as `file.R:function`.",
        "It is called in a process that stays for the next item.",
        example="profile.R:draw",
        pattern=R_FUNCTION_PATTERN,
    )
    persistent: bool = explained(
        "Whether the program of `argv` serves many tasks.",
        "If true, it is started once for each slot, reads one JSON object per task from stdin and answers "
        "with one line.",
        default=False,
        example=True,
    )
    after: list[str] = explained(
        "The steps that must be done or skipped first.",
        "Steps that templates name, as in `{in.STEP.NAME}`, come first anyway.",
        default=[],
        example=["convert"],
        absent="the steps named in templates; with none, the step runs at once",
    )
    when: str | None = explained(
        "A condition in CEL about the item.",
        "If it is false, the task is `skipped`, and later steps run.",
        example="params.gain > 1.0",
        absent="always",
    )
    outputs: dict[Name, Annotated[OutputTable, BeforeValidator(_long_output)]] = explained(
        "What the step makes, by name: a path, or a table.",
        "The tool writes to `{out.NAME}`. All outputs are published together when the attempt has "
        "succeeded; later steps read them as `{in.STEP.NAME}`.",
        default={},
        example={"table": "results/{key}.csv"},
    )
    renamed_from: Name | None = explained(
        "The step's earlier name.",
        "Its tasks, history and outputs carry over to the new name, and nothing runs again.",
        example="filter",
    )
