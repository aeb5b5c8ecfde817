"""Raw TOML against the shape of the file: every departure becomes a problem in words for people.

A file with twenty mistakes gets twenty problems, also when some are of shape and some of sense. So
what does not fit is reported and then mended or left out, until the rest has the right shape and
can be checked further.
"""

from __future__ import annotations

import re
import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from stoker.spec.problems import Problem, suggest
from stoker.spec.schema import RESERVED_SECTIONS, ProjectFile
from stoker.spec.shapes import NAME_PATTERN, VARIABLE_PATTERN, Table
from stoker.spec.step_keys import RESERVED_STEP_KEYS, DefaultsTable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from stoker.spec.locate import Locator, Path

_MAX_PASSES = 20
_REMOVED = object()

_Shape = TypeVar("_Shape", bound=Table)

_WANTED = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "`true` or `false`",
    "list_type": "a list in `[ ]`",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


class Findings:
    """The problems of one file, with the places where they stand.

    The syntax tree that knows the places is made only when there is a problem to place.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.raw: dict[str, Any] = {}
        self.problems: list[tuple[Path, Problem]] = []
        self._text = text
        self._locator: Locator | None = None

    def add(self, path: Path, message: str, hint: str = "", *, line: int | None = None) -> None:
        """Note a problem of what stands at `path`; `line` counts in the text that stands there."""
        at_line, at_column = self._locate().place(path)
        if line is not None:
            at_line, at_column = self._locate().text_line(path, line), 1
        problem = Problem(self.file, at_line, at_column, message, hint)
        self.problems.append((path, problem))

    def has(self, path: Path) -> bool:
        """Whether something at `path` or below is wrong."""
        return any(found[: len(path)] == path for found, _ in self.problems)

    def is_at(self, path: Path) -> bool:
        """Whether something stands at exactly `path` in the file."""
        value: Any = self.raw
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    def wrong_keys(self, path: Path) -> set[str | int]:
        """Return the keys of the table at `path` that something is wrong with."""
        depth = len(path)
        return {found[depth] for found, _ in self.problems if found[:depth] == path != found}

    def _locate(self) -> Locator:
        if self._locator is None:
            from stoker.spec.locate import Locator

            self._locator = Locator(self._text)
        return self._locator


def validate(raw: dict[str, Any], shape: type[_Shape], findings: Findings) -> _Shape:
    """Return the file in its shape, with what did not fit reported in `findings` and left out."""
    raw = _without_nul(raw, (), findings)
    for _ in range(_MAX_PASSES):
        try:
            return shape.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=True):
                _report(detail, shape, findings)
                _mend(raw, detail["loc"])
            _sweep(raw)
    return shape.model_validate({})


def _without_nul(value: Any, path: Path, findings: Findings) -> Any:
    """Return a copy of what stands at `path` without NUL characters, which are reported."""
    if isinstance(value, dict):
        return {key: _without_nul(inner, (*path, key), findings) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nul(inner, (*path, n), findings) for n, inner in enumerate(value)]
    if isinstance(value, str) and "\0" in value:
        findings.add(path, f"`{_name(path)}` has a NUL character", "no program can be given one")
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


def _report(detail: ErrorDetails, shape: type[Table], findings: Findings) -> None:
    path = detail["loc"]
    if path[-1] == "[key]":
        path = path[:-1]
    message, hint = _describe(detail, _as_written(path, findings.raw), shape)
    findings.add(path, message, hint)


def _as_written(path: Path, raw: Any) -> Path:
    """Return `path` up to the value that stands in the file, which may stand for a table or list."""
    value: Any = raw
    for depth, part in enumerate(path):
        if not isinstance(value, dict | list):
            return path[:depth]
        if not _can_hold(value, part):
            break
        value = _get(value, part)
    return path


def _describe(detail: ErrorDetails, path: Path, shape: type[Table]) -> tuple[str, str]:
    """Return message and hint for one of pydantic's findings."""
    kind, given = detail["type"], detail["input"]
    key = str(next(part for part in reversed(path) if isinstance(part, str)))
    what, hint = f"`{_name(path)}`", ""
    if kind == "extra_forbidden":
        return _describe_unknown(key, path, shape)
    if detail["loc"][-1] == "[key]":
        message, hint = f"`{key}` is not a name", _name_hint(key, detail["ctx"]["pattern"])
        if key.isdecimal() and path[-2:-1] == ("parts",):
            hint = f'give it one, as in `parts = {{ r{key} = "{key}" }}`'
    elif kind in _WANTED:
        message = f"{what} must be {_WANTED[kind]}, not {_show(given)}"
    elif kind == "literal_error":
        message = f"{what} is {_show(given)}, which is none of its words"
        hint = suggest(str(given), _literals(detail))
    elif kind in _LIMITS:
        word, bound = _LIMITS[kind]
        message = f"{what} must be {word} {detail['ctx'][bound]:,}, not {_show(given)}"
    elif kind == "string_pattern_mismatch":
        is_result = path[2:3] == ("results",)
        hint = _RESULT_HINT if is_result else _PATTERN_HINTS.get(key, "")
        message = f"{what} is {_show(given)}"
    elif kind in ("too_short", "string_too_short"):
        message = f"{what} is empty"
    else:
        message = f"{what}: {detail.get('ctx', {}).get('error', detail['msg'])}"
    return message, hint


_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
}


def _name_hint(given: str, pattern: str) -> str:
    """Return the rule for names, with the name that was probably meant."""
    near = re.sub(r"\W+", "_", given.strip().lower(), flags=re.ASCII)
    is_name = pattern == NAME_PATTERN and near[:1].isalpha() and near != given
    return _NAME_HINTS[pattern] + (f"; write `{near}`" if is_name else "")


_NAME_HINTS = {
    NAME_PATTERN: "a name is lower-case letters, digits and `_`",
    VARIABLE_PATTERN: "the name of a variable is letters, digits and `_`",
}

_PATTERN_HINTS = {
    "python": "write it as `module:function`",
    "octave": "write the function's name alone; its file is `NAME.m`",
    "matlab": "write the function's name alone; its file is `NAME.m`",
    "r": "write it as `file.R:function`",
    "between": "write hours as in `20:00-08:00`",
    "names": _NAME_HINTS[VARIABLE_PATTERN],
    "needs": _NAME_HINTS[NAME_PATTERN],
    "tags": _NAME_HINTS[NAME_PATTERN],
    "together": _NAME_HINTS[NAME_PATTERN],
    "media": "write a media type as `text/plain`",
    "site": _NAME_HINTS[NAME_PATTERN],
}
_RESULT_HINT = "write it as `outputs.STEP.NAME` or `values.STEP.NAME`"


def _describe_unknown(key: str, path: Path, shape: type[Table]) -> tuple[str, str]:
    around = _table_at(shape, path[:-1])
    where = f"`{_name(path[:-1])}`" if len(path) > 1 else "the file"
    is_step = around is not None and issubclass(around, DefaultsTable)
    if (len(path) == 1 and key in RESERVED_SECTIONS) or (is_step and key in RESERVED_STEP_KEYS):
        return f"`{key}` is reserved for a later release", "take it out for now"
    known = [] if around is None else _keys(around)
    if len(path) == 1 and shape is not ProjectFile and key in _keys(ProjectFile):
        return f"`{key}` belongs into the main file", "an included file holds `[pipelines.*]` only"
    meant = _ELSEWHERE.get(key.lower())
    if meant in known:
        return f"{where} has no key `{key}`", f"here it is called `{meant}`"
    return f"{where} has no key `{key}`", suggest(key, known)


# Words of other tools, and what they are called here.
_ELSEWHERE = {
    **dict.fromkeys(
        ("depends_on", "depends", "requires", "needs_step", "upstream", "deps"), "after"
    ),
    **dict.fromkeys(("cmd", "command", "shell", "script", "bash", "exec"), "run"),
    **dict.fromkeys(("threads", "cores", "ncpus", "nproc"), "cpus"),
    **dict.fromkeys(("mem", "mem_mb", "ram", "memory_limit"), "memory"),
    **dict.fromkeys(("output", "publish", "produces", "targets"), "outputs"),
    **dict.fromkeys(("max_retries", "attempts", "retry"), "retries"),
    **dict.fromkeys(("time", "walltime", "time_limit", "max_time"), "timeout"),
    **dict.fromkeys(("environment", "vars"), "env"),
    **dict.fromkeys(("condition", "if", "only_if"), "when"),
    **dict.fromkeys(("setup", "before", "before_script", "module", "modules", "conda"), "prepare"),
    **dict.fromkeys(("parameters", "args", "config"), "params"),
    **dict.fromkeys(("tasks", "rules", "jobs", "processes", "stages"), "steps"),
    **dict.fromkeys(("tags", "labels"), "needs"),
    **dict.fromkeys(("resources", "licences", "licenses"), "pools"),
    **dict.fromkeys(("ignore", "skip"), "exclude"),
    **dict.fromkeys(("directory", "path", "dir"), "folder"),
    "pattern": "glob",
}


def _keys(table: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


def _literals(detail: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", detail["ctx"]["expected"])


def _name(path: Path) -> str:
    """Return a short name for what stands at `path`, as it would be written in the file."""
    shown = [f"[{part}]" if isinstance(part, int) else str(part) for part in path]
    if path[:1] == ("pipelines",) and len(path) > 2:
        shown = shown[2:]
    return ".".join(shown).replace(".[", "[")


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return f"`{text[:40]}…`" if len(text) > 40 else f"`{text}`"


def _table_at(shape: type[Table], path: Path) -> type[BaseModel] | None:
    """Return the model of the table at `path`; None where there is no such table."""
    current: Any = shape
    for part in path:
        current = _unwrap(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field for name, field in current.model_fields.items()}
            if part not in fields:
                return None
            current = fields[str(part)].annotation
        elif get_origin(current) in (dict, list):
            current = get_args(current)[-1]
        else:
            return None
    current = _unwrap(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _unwrap(annotation: Any) -> Any:
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (types.UnionType, typing.Union):
            annotation = next(arg for arg in get_args(annotation) if arg is not types.NoneType)
        else:
            return annotation


def _mend(raw: dict[str, Any], path: Path) -> None:
    """Put something harmless where `path` points; where nothing is harmless, mark it for removal.

    A thing with a name (a step, a parameter, an output) stays as an empty table, so that others
    that refer to it are not called wrong as well. A value that stands alone where its table or list
    may stand is removed as a whole.
    """
    is_bad_key = path[-1] == "[key]"
    if is_bad_key:
        path = path[:-1]
    parent: Any = raw
    for depth, part in enumerate(path):
        if not isinstance(parent, dict | list):
            break
        inner = _get(parent, part)
        if inner is _REMOVED:
            break
        if depth == len(path) - 1 or not _can_hold(inner, path[depth + 1]):
            is_named = _is_named(path[: depth + 1]) and not is_bad_key
            is_word = depth > 0 and path[depth - 1] == "argv"
            _set(parent, part, {} if is_named else "" if is_word else _REMOVED)
            break
        parent = inner


def _can_hold(value: Any, part: str | int) -> bool:
    return isinstance(value, list if isinstance(part, int) else dict)


def _get(parent: dict[str | int, Any] | list[Any], part: str | int) -> Any:
    return parent.get(part, _REMOVED) if isinstance(parent, dict) else parent[int(part)]


def _set(parent: dict[str | int, Any] | list[Any], part: str | int, value: Any) -> None:
    if isinstance(parent, dict):
        parent[part] = value
    else:
        parent[int(part)] = value


def _is_named(path: Path) -> bool:
    """Whether `path` is that of a thing with a name that others may refer to."""
    match path:
        case ("pipelines" | "batch", _):
            return True
        case ("pipelines", _, "steps" | "params" | "sources", _):
            return True
        case ("pipelines", _, "steps", _, "outputs", _):
            return True
        case _:
            return False


def _sweep(value: Any) -> None:
    if isinstance(value, dict):
        for key in [key for key, element in value.items() if element is _REMOVED]:
            del value[key]
        for element in value.values():
            _sweep(element)
    elif isinstance(value, list):
        value[:] = [element for element in value if element is not _REMOVED]
        for element in value:
            _sweep(element)
