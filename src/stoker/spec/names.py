"""What a placeholder's name stands for: where its value is found, and what is known of it before.

Every name is resolved once, when a pipeline is checked or a step is compiled; what comes out is a
function from the attempt's context to the value.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.model.pipeline import ItemKind, ParamType
from stoker.spec import member_names
from stoker.spec.params import is_path, place_paths
from stoker.spec.problems import suggest
from stoker.spec.values import Arity, Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from stoker.model.pipeline import Output, Param, Pipeline, Step
    from stoker.spec.values import Context


class Place(Enum):
    """What a template is for; it decides which names make sense."""

    COMMAND = "a command"
    TARGET = "the path of an output"
    KEY = "a key"
    ERROR_FOLDER = "the path of an error folder"
    PROGRAM = "the command of a `persistent` program"


class BadName(UserError):
    """A placeholder's name means nothing here; carries a message and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


MEMBERS = member_names.ALL
ITEM_NAMES = ("item", "key", "name", "stem", "suffix", "dir")
SPACES = ("params", "meta", "in", "out", "slot", MEMBERS)
_HERE = {
    Place.COMMAND: (*ITEM_NAMES, "project", "scratch", "cpus", "memory_bytes", *SPACES),
    Place.TARGET: (*ITEM_NAMES, "project", "params", "meta", "in"),
    Place.KEY: ("key", "name", "stem", "suffix", "params", "meta"),
    Place.ERROR_FOLDER: (*ITEM_NAMES, "params", "meta"),
    Place.PROGRAM: ("project", "cpus"),  # what is the same for all items
}


# Names that other tools have for these.
_ELSEWHERE = {
    **dict.fromkeys(("input", "file", "infile", "filename", "path", "filepath"), "item"),
    **dict.fromkeys(("threads", "cores", "nproc", "ncpus"), "cpus"),
    **dict.fromkeys(("output", "outfile", "result"), "out.NAME"),
    **dict.fromkeys(("sample", "id", "basename", "prefix"), "key"),
    **dict.fromkeys(("wildcards", "config", "args"), "params.NAME"),
    **dict.fromkeys(("tmp", "tmpdir", "tempdir", "workdir", "work_dir"), "scratch"),
    **dict.fromkeys(("mem", "memory", "mem_mb", "ram"), "memory_bytes"),
    **dict.fromkeys(("projectdir", "basedir", "workflow", "root"), "project"),
}


def resolve(name: str, pipeline: Pipeline, step: Step | None, place: Place) -> Reference:
    """Return what `name` stands for in a template of `step`; BadName says what is wrong with it."""
    head, *rest = name.split(".")
    if head not in _HERE[place]:
        if head in _HERE[Place.COMMAND]:
            hint = "it is started once for many items: read it from the task"
            raise BadName(
                f"`{{{name}}}` has no value in {place.value}",
                hint if place is Place.PROGRAM else "",
            )
        meant = _ELSEWHERE.get(head.lower())
        if meant is not None:
            raise BadName(f"`{{{name}}}` is not a name of Stoker", f"here it is `{{{meant}}}`")
        escape = f"write `{{{{{name}}}}}` for the braces themselves"
        near = suggest(head, _HERE[place])
        hint = f"{near} else {escape}" if near.startswith("did") else escape
        raise BadName(f"`{{{name}}}` is not a name that Stoker knows", hint)
    if len(rest) not in _LENGTHS.get(head, (0,)):
        raise BadName(f"`{{{name}}}` has the wrong number of parts", _SHAPES.get(head, ""))
    if head == MEMBERS:
        return _resolve_members(name, pipeline)
    if not rest:
        return _resolve_plain(head, pipeline)
    return _RESOLVERS[head](rest, pipeline, step)


_LENGTHS = {"in": (2, 3), "params": (1,), "meta": (1,), "out": (1,), "slot": (1,), MEMBERS: (0, 2)}
_SHAPES = {
    MEMBERS: "write `{members}`, `{members.STEP.OUTPUT}` or `{members.STEP.values}`",
    "params": "write `{params.NAME}`",
    "meta": "write `{meta.NAME}`",
    "in": "write `{in.STEP.OUTPUT}` or `{in.STEP.values.NAME}`",
    "out": "write `{out.NAME}`",
    "slot": "write `{slot.POOL}`",
}


def _resolve_members(name: str, pipeline: Pipeline) -> Reference:
    if pipeline.items is not ItemKind.GROUPS:
        hint = 'set `items = "groups"`, with a source that follows another pipeline'
        raise BadName(f"`{{{name}}}` is for groups, and this pipeline has none", hint)
    return member_names.reference_to(name)


def _resolve_plain(name: str, pipeline: Pipeline) -> Reference:
    if name == "item" and not pipeline.items.has_path:
        has = "use `{key}` or `{params.…}`"
        if pipeline.items is ItemKind.GROUPS:
            raise BadName("`{item}` is a path, and groups have none", "use `{members}` or `{key}`")
        raise BadName("`{item}` is a path, and records have none", has)
    if name == "project":
        folder = pipeline.project_folder
        return Reference(name, lambda _: folder, is_absolute=True, is_free=False)
    is_path = name in ("item", "scratch")
    is_dir = name == "dir" and pipeline.items.has_path
    return Reference(
        name,
        _PLAIN[name],
        is_integer=name in ("cpus", "memory_bytes"),
        is_absolute=is_path or is_dir,
        is_free=not (is_path or is_dir),
    )


def _resolve_param(rest: list[str], pipeline: Pipeline, _: Step | None) -> Reference:
    name = rest[0]
    declared = {param.name: param for param in pipeline.params}
    if name not in declared:
        hint = suggest(name, declared) or "declare it under `params`"
        raise BadName(f"`{{params.{name}}}` is not a parameter of this pipeline", hint)
    param = declared[name]

    has_paths = is_path(param)
    default = place_paths(param.default, pipeline.folder) if has_paths else param.default

    def get(context: Context) -> Any:
        return context.claimed.params.get(name, default)

    return Reference(
        f"params.{name}",
        get,
        Arity.MANY if param.type is ParamType.LIST else Arity.ONE,
        is_integer=param.type is ParamType.INTEGER,
        is_absolute=has_paths,
        is_free=not _is_set(param),
    )


def _is_set(param: Param) -> bool:
    """Whether the values of a parameter can only be numbers or truth values."""
    return param.type in (ParamType.INTEGER, ParamType.NUMBER, ParamType.BOOLEAN)


def _resolve_meta(rest: list[str], _: Pipeline, __: Step | None) -> Reference:
    name = rest[0]

    def get(context: Context) -> Any:
        try:
            return context.claimed.meta[name]
        except KeyError:
            key = context.claimed.key
            raise UserError(f"item `{key}` has no `meta.{name}`, which the step needs") from None

    return Reference(f"meta.{name}", get, Arity.ANY)


def _resolve_in(rest: list[str], pipeline: Pipeline, step: Step | None) -> Reference:
    before = {other.name: other for other in pipeline.steps}
    own = "" if step is None else step.name
    if rest[0] not in before or rest[0] == own:
        others = [name for name in before if name != own]
        raise BadName(
            f"`{{in.{'.'.join(rest)}}}`: there is no other step `{rest[0]}`",
            suggest(rest[0], others),
        )
    if len(rest) == 3:
        if rest[1] != "values":
            raise BadName(f"`{{in.{'.'.join(rest)}}}` has too many parts", _SHAPES["in"])
        return _value_of(rest[0], rest[2])
    outputs = {output.name: output for output in before[rest[0]].outputs}
    if rest[1] not in outputs:
        hint = suggest(rest[1], outputs) or f"give `{rest[0]}` such an output"
        raise BadName(f"step `{rest[0]}` has no output `{rest[1]}`", hint)
    return _paths_of(rest[0], outputs[rest[1]])


def _value_of(step: str, name: str) -> Reference:
    def get(context: Context) -> Any:
        produced = context.claimed.produced.get(step)
        if produced is None or produced.attempt is None:
            return None
        try:
            return produced.values[name]
        except KeyError:
            if produced.left_nothing:
                return None
            raise UserError(f"step `{step}` left no value `{name}` for this item") from None

    return Reference(f"in.{step}.values.{name}", get, Arity.ANY, step=step)


def _paths_of(step: str, output: Output) -> Reference:
    def get_all(context: Context) -> tuple[str, ...]:
        produced = context.claimed.produced.get(step)
        if produced is None or produced.attempt is None:
            return ()
        paths = produced.outputs.get(output.name, ())
        if not (paths or produced.left_nothing or output.optional):
            raise UserError(
                f"step `{step}` left no output `{output.name}` for this item; "
                f"`stoker rerun --step {step}` makes it"
            )
        return paths

    def get_one(context: Context) -> str:
        paths = get_all(context)
        return paths[0] if paths else ""

    name = f"in.{step}.{output.name}"
    if output.pick is None:
        return Reference(name, get_one, is_absolute=True, is_free=False, step=step)
    return Reference(name, get_all, Arity.ANY, is_absolute=True, is_free=False, step=step)


def _resolve_out(rest: list[str], _: Pipeline, step: Step | None) -> Reference:
    name = rest[0]
    outputs = {} if step is None else {output.name: output for output in step.outputs}
    if name not in outputs:
        hint = suggest(name, outputs) or f'declare it: `outputs.{name} = "results/{{key}}"`'
        raise BadName(f"`{{out.{name}}}` is not an output of this step", hint)
    if outputs[name].pick is not None:
        raise BadName(
            f"`{{out.{name}}}` has no path of its own, since its `from` picks what the tool wrote",
            "let the tool write into its working directory, or take `from` out",
        )

    def get(context: Context) -> str:
        return context.out[name]

    return Reference(f"out.{name}", get, is_absolute=True, is_free=False)


def _resolve_slot(rest: list[str], _: Pipeline, step: Step | None) -> Reference:
    name = rest[0]
    pools = {} if step is None else step.pools
    if name not in pools:
        hint = suggest(name, pools) or f"ask for it: `pools = {{ {name} = 1 }}`"
        raise BadName(f"`{{slot.{name}}}` is not a pool that this step takes", hint)

    def get(context: Context) -> tuple[str, ...]:
        return context.claimed.slots.get(name, ())

    return Reference(f"slot.{name}", get, Arity.ONE if pools[name] == 1 else Arity.MANY)


_RESOLVERS: dict[str, Callable[[list[str], Pipeline, Step | None], Reference]] = {
    "params": _resolve_param,
    "meta": _resolve_meta,
    "in": _resolve_in,
    "out": _resolve_out,
    "slot": _resolve_slot,
}


def _item(context: Context) -> str:
    if context.claimed.path is None:
        raise UserError(f"item `{context.claimed.key}` is a record and has no path for `{{item}}`")
    return context.claimed.path


def _path_or_key(context: Context) -> str:
    path = context.claimed.path
    return context.claimed.key if path is None else path


def _name(context: Context) -> str:
    return _path_or_key(context).rpartition("/")[2]


def split_suffix(name: str) -> tuple[str, str]:
    """Return a file's name before and from its last dot; a leading dot begins no suffix."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


_PLAIN: dict[str, Callable[[Context], Any]] = {
    "item": _item,
    "key": lambda context: context.claimed.key,
    "name": _name,
    "stem": lambda context: split_suffix(_name(context))[0],
    "suffix": lambda context: split_suffix(_name(context))[1],
    "dir": lambda context: _dir(_path_or_key(context)),
    "scratch": lambda context: context.scratch,
    "cpus": lambda context: context.claimed.cpus,
    "memory_bytes": lambda context: context.claimed.memory_bytes,
}


def _dir(path: str) -> str:
    folder = path.rpartition("/")[0]
    return folder or ("/" if path.startswith("/") else ".")
