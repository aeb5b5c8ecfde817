"""`stoker check`."""

from typing import TYPE_CHECKING, cast

from stoker.cli.render import data, json_line, plural, say
from stoker.cli.scope import Scope, command, json_option
from stoker.errors import SpecError
from stoker.model.pipeline import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.model.pipeline import Output, Step
    from stoker.project import Project
    from stoker.spec.problems import Problem


@command()
@json_option
def check(scope: Scope, as_json: bool) -> int:
    """Report everything that is wrong with `stoker.toml`.

    All problems are reported at once, each with its line, those of included files too; the exit
    status is then 2. Warnings concern things that may be missing only on this host, such as a
    program or the file of a function; an output that every item would publish at the same path;
    values that may become code, a name or an option of a command; a parameter that a source of
    files does not set; and data that other accounts can read, such as a password in the file or an
    open `.stoker`.
    """
    try:
        project = scope.project(is_quiet=True)
    except SpecError as error:
        return _tell(cast("Sequence[Problem]", error.problems), [], as_json=as_json)
    warnings = _warnings(project)
    if project.loaded.problems or as_json:
        return _tell(project.loaded.problems, warnings, as_json=as_json)
    for warning in warnings:
        say(f"warning: {warning}")
    for pipeline in project.pipelines.values():
        names = ", ".join(step.name for step in pipeline.steps)
        data(f"{pipeline.name}: {plural(len(pipeline.steps), 'step')} ({names})")
    if not project.pipelines:
        say(f"`{project.file}` declares no pipeline yet")
    say("no problems")
    return 0


def _tell(problems: "Sequence[Problem]", warnings: list[str], *, as_json: bool) -> int:
    if as_json:
        from stoker.project.answers import CheckAnswer

        json_line(CheckAnswer(problems=problems, warnings=warnings))
    else:
        for warning in warnings:
            say(f"warning: {warning}")
        for problem in problems:
            data(str(problem))
        say(plural(len(problems), "problem"))
    return SpecError.exit_code if problems else 0


def _warnings(project: "Project") -> list[str]:
    """What the file may not be able to do on this host, and where values or others may do harm."""
    from stoker.project.checks.privacy import left_open
    from stoker.spec.absent import find_absences
    from stoker.spec.cautions import find_cautions
    from stoker.spec.functions import check_functions
    from stoker.spec.modules import check_python
    from stoker.spec.overlaps import HINT, find_overlaps
    from stoker.spec.programs import find_program_doubts
    from stoker.spec.unset import find_unset
    from stoker.spec.web import find_web_cautions

    found = [f"{what}: {remedy}" for what, remedy in left_open(project.settings)]
    for pipeline in project.pipelines.values():
        found += [
            f"pipeline `{pipeline.name}`: {message}"
            for message in (*check_python(pipeline), *check_functions(pipeline))
        ]
        found += [
            f"pipeline `{pipeline.name}`: {one}"
            for one in (*find_web_cautions(pipeline), *find_unset(pipeline))
        ]
        for step in pipeline.steps:
            found += [
                f"pipeline `{pipeline.name}`: step `{step.name}`: {caution}"
                for caution in (
                    *find_cautions(pipeline, step),
                    *find_absences(pipeline, step),
                    *find_program_doubts(pipeline, step, interpreter=_interpreter(step)),
                )
            ]
            found += [
                f"pipeline `{pipeline.name}`: step `{step.name}`: output `{output.name}` has one path "
                f"for all items, `{output.to}`, and only the first gets it; put `{{key}}` into it"
                for output in step.outputs
                if _is_for_one_item(output)
            ]
    overlaps = find_overlaps(project.pipelines.values())
    found += [f"{one.message}; {HINT}" for one in overlaps if not one.is_certain]
    return found


def _is_for_one_item(output: "Output") -> bool:
    """Whether nothing in the published path can differ from item to item."""
    from stoker.spec.parts import Placeholder, parse

    takes_names = output.pick is not None and output.to.endswith("/")
    return not takes_names and not any(isinstance(part, Placeholder) for part in parse(output.to))


def _interpreter(step: "Step") -> str | None:
    """Return the program that calls the function of a step in a language other than Python."""
    from stoker.work.warm_key import program_of

    return program_of(step.action)[0] if isinstance(step.action, Call) else None
