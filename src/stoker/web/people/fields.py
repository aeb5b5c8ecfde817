"""The fields of a pipeline's form: one for each input, and the values that come back in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline
from stoker.project.jobs.validation import InputError
from stoker.spec.params import BadValue, check_one
from stoker.spec.web import ITEM

_LONG_TEXT = 200  # characters, above which a text gets several lines
_FEW = 4  # choices that are shown at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: what it asks for, and its value as the page shows it.

    `kind` is the name of its part of the template. `files` are pairs of reference and name that are
    chosen already. `limits` are attributes of the element.
    """

    name: str
    kind: str
    title: str
    help: str = ""
    unit: str = ""
    required: bool = False
    choices: Sequence[str] = ()
    value: str = ""
    chosen: Sequence[str] = ()
    files: Sequence[tuple[str, str]] = ()
    default_file: str = ""
    limits: Mapping[str, str] = field(default_factory=dict)
    placeholder: str = ""
    is_list: bool = False
    json_type: str = "string"
    errors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Fields that belong together; the one without a name comes first."""

    name: str
    fields: Sequence[Field]

    @property
    def is_folded(self) -> bool:
        """Whether its fields are for those who look for them; mistakes in them are shown at once."""
        return self.name == "Advanced" and not any(one.errors for one in self.fields)


@dataclass(slots=True)
class Given:
    """What a form has: values by input as in a request, the texts as they came, and mistakes.

    `names` has the names of files by their references.
    """

    values: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    errors: list[InputError] = field(default_factory=list)


def sections_of(pipeline: Pipeline, given: Given) -> list[Section]:
    """Return the fields of all inputs in their sections, in the order of the file."""
    found: dict[str, list[Field]] = {"": []}
    if pipeline.items is not ItemKind.RECORDS:
        found[""].append(_item_field(pipeline, given))
    for param in pipeline.params:
        found.setdefault(param.section, []).append(_field(param, given))
    made = [Section(name, fields) for name, fields in found.items() if fields]
    return sorted(made, key=lambda one: one.name == "Advanced")


def _item_field(pipeline: Pipeline, given: Given) -> Field:
    return Field(
        name=ITEM,
        kind="file",
        title="File",
        help="The file to work on.",
        required=True,
        files=_files(ITEM, given),
        limits=_upload_limit(pipeline),
        errors=_errors(ITEM, given),
    )


def _upload_limit(pipeline: Pipeline) -> dict[str, str]:
    limit = pipeline.web.max_upload_bytes
    return {} if limit is None else {"data-max-bytes": str(limit)}


def _field(param: Param, given: Given) -> Field:
    kind = param.items if param.type is ParamType.LIST else param.type
    is_list = param.type is ParamType.LIST
    texts = given.texts.get(param.name)
    if texts is None:
        texts = _texts_of(param, given.values.get(param.name, param.default))
    return Field(
        name=param.name,
        kind=_kind(param, kind, is_list=is_list),
        title=param.title or param.name,
        help=param.description,
        unit=param.unit,
        required=param.required,
        choices=param.choices,
        value="\n".join(texts),
        chosen=texts,
        files=_files(param.name, given) if kind is ParamType.PATH else (),
        default_file=_default_file(param) if kind is ParamType.PATH else "",
        limits=_limits(param, kind),
        placeholder="" if param.example is None else "\n".join(_texts_of(param, param.example)),
        is_list=is_list,
        json_type=kind.value,
        errors=_errors(param.name, given),
    )


def _kind(param: Param, kind: ParamType, *, is_list: bool) -> str:
    """Return the name of the part of the template that shows the field."""
    if kind is ParamType.PATH:
        return "file"
    if param.choices and is_list:
        return "checkboxes"
    if param.choices:
        return "radios" if len(param.choices) <= _FEW and param.required else "select"
    if is_list or (kind is ParamType.STRING and (param.max_length or 0) > _LONG_TEXT):
        return "lines"
    return _OF_ONE[kind]


_OF_ONE = {
    ParamType.BOOLEAN: "checkbox",
    ParamType.INTEGER: "number",
    ParamType.NUMBER: "number",
    ParamType.STRING: "text",
    ParamType.CHOICE: "text",
}


def _limits(param: Param, kind: ParamType) -> dict[str, str]:
    made: dict[str, str] = {}
    if kind is ParamType.PATH and param.media:
        made["accept"] = ",".join(one for one in param.media if one.endswith("/*"))
    if kind is ParamType.STRING and param.max_length is not None and param.type is kind:
        made["maxlength"] = str(param.max_length)
    return {name: value for name, value in made.items() if value}


def _default_file(param: Param) -> str:
    return "its own file is used if you choose none" if param.default else ""


def _texts_of(param: Param, value: Any) -> list[str]:
    """Return a value as the texts of its field."""
    if value is None or ParamType.PATH in (param.type, param.items):
        return []
    return [_text_of(one) for one in (value if isinstance(value, list) else [value])]


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _files(name: str, given: Given) -> list[tuple[str, str]]:
    value = given.values.get(name)
    references = value if isinstance(value, list) else [value]
    return [(one, given.names.get(one, one)) for one in references if isinstance(one, str)]


def _errors(name: str, given: Given) -> list[str]:
    found = [error_text(one) for one in given.errors if field_of(one) == name]
    return [f"{text[:1].upper()}{text[1:]}" for text in found]


def field_of(error: InputError) -> str:
    """Return the name of the field in which the mistake is."""
    return error.input.partition("[")[0]


def error_text(error: InputError) -> str:
    """Return what is wrong, as the end of a sentence that begins with the title of the field."""
    return error.detail.removeprefix(f"input `{error.input}`").removeprefix(":").strip()


def read_fields(
    pipeline: Pipeline, fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, str, str]]
) -> Given:
    """Return the values that a form has sent; a text that is not of its type is a mistake.

    Fields are called `in.NAME`, and `file.NAME` where they name a file that is there already. `files`
    are new ones: the field, the reference and the name of each.
    """
    given = Given()
    if pipeline.items is not ItemKind.RECORDS:
        _read_files(ITEM, fields, files, given, is_list=False)
    for param in pipeline.params:
        if ParamType.PATH in (param.type, param.items):
            is_list = param.type is ParamType.LIST
            _read_files(param.name, fields, files, given, is_list=is_list)
        else:
            texts = [text for name, text in fields if name == f"in.{param.name}"]
            _read_texts(param, [text.replace("\r\n", "\n") for text in texts], given)
    return given


def _read_files(
    name: str,
    fields: Sequence[tuple[str, str]],
    files: Sequence[tuple[str, str, str]],
    given: Given,
    *,
    is_list: bool,
) -> None:
    """A file that was chosen now replaces what was there; in a list it is added."""
    new = [(reference, shown) for at, reference, shown in files if at == f"in.{name}"]
    old = []
    for at, text in fields:
        if at == f"file.{name}" and text:
            reference, _, shown = text.partition(" ")
            old.append((reference, shown or reference))
    found = [*old, *new] if is_list else (new or old)[:1]
    given.names |= dict(found)
    if found:
        references = [reference for reference, _ in found]
        given.values[name] = references if is_list else references[0]


def _read_texts(param: Param, texts: list[str], given: Given) -> None:
    kind = param.items if param.type is ParamType.LIST else param.type
    if kind is ParamType.BOOLEAN and param.type is not ParamType.LIST:
        given.texts[param.name] = texts[:1] or ["false"]
        given.values[param.name] = texts[:1] == ["true"]
        return
    if param.type is ParamType.LIST and not param.choices:
        texts = [line.strip() for text in texts for line in text.split("\n") if line.strip()]
    given.texts[param.name] = texts
    if param.type is ParamType.LIST:
        if texts or not param.required:
            given.values[param.name] = [_value(param, kind, one, given) for one in texts]
    elif texts and (texts[0] or _may_be_empty(param, kind)):
        given.values[param.name] = _value(param, kind, texts[0], given)


def _may_be_empty(param: Param, kind: ParamType) -> bool:
    """Whether an empty field is an empty text: somebody has deleted the default in it."""
    return kind is ParamType.STRING and bool(param.default) and not param.choices


def _value(param: Param, kind: ParamType, text: str, given: Given) -> Any:
    if kind in (ParamType.STRING, ParamType.CHOICE):
        return text
    try:
        return check_one(param, kind, text)
    except BadValue as bad:
        given.errors.append(
            InputError(
                input=param.name,
                rule=bad.rule,
                limit=bad.limit,
                value=text[:200],
                detail=f"input `{param.name}` {bad}",
            )
        )
        return None
