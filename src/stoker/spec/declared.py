"""Parameters of the model from the file's; rules that make no sense for a type are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stoker.model import patterns
from stoker.model.pipeline import Param, ParamType
from stoker.spec.locations import absolute
from stoker.spec.params import BadValue, check_value
from stoker.spec.sources import build_rules

if TYPE_CHECKING:
    from stoker.spec.locate import Path
    from stoker.spec.pipeline_keys import ParamTable
    from stoker.spec.validate import Findings

_NUMBERS = (ParamType.INTEGER, ParamType.NUMBER)


def build_param(
    name: str, table: ParamTable, *, path: Path, folder: str, findings: Findings
) -> Param:
    """Return the parameter; `findings` gets what is wrong with it."""
    param = Param(
        name=name,
        type=ParamType(table.type),
        items=ParamType(table.items),
        required=table.required,
        default=table.default,
        pattern=_regex((*path, "pattern"), table.pattern, findings),
        minimum=table.minimum,
        maximum=table.maximum,
        choices=tuple(table.choices),
        max_length=table.max_length,
        min_items=table.min_items,
        max_items=table.max_items,
        media=tuple(dict.fromkeys(table.media)),
        rules=build_rules(table.rules, items="files", path=(*path, "validate"), findings=findings),
        title=table.title,
        description=table.description,
        unit=table.unit,
        section=table.section,
        example=table.example,
    )
    if not any(findings.has((*path, key)) for key in ("type", "items")):
        _Declared(param, table, path, folder, findings).check()
    return param


class _Declared:
    """One parameter whose type is right, and the place where the file has it."""

    def __init__(
        self, param: Param, table: ParamTable, path: Path, folder: str, findings: Findings
    ) -> None:
        self._param = param
        self._table = table
        self._path = path
        self._folder = folder
        self._findings = findings
        self._element = param.items if param.type is ParamType.LIST else param.type

    def check(self) -> None:
        """Report what cannot be; the default and the example have the parameter's type after that."""
        param = self._param
        if param.items is ParamType.LIST:
            self._add("items", "a parameter cannot be a list of lists")
        elif self._element is ParamType.CHOICE and not param.choices:
            if not self._findings.has((*self._path, "choices")):
                hint = 'write `choices = ["…", "…"]`'
                message = f"parameter `{param.name}` has no `choices`"
                self._findings.add(self._path, message, hint)
        else:
            self._check_keys()
            self._check_values()

    def _check_keys(self) -> None:
        """Report rules that are for other types than this one."""
        param, element = self._param, self._element
        is_number, is_list = element in _NUMBERS, param.type is ParamType.LIST
        is_text = not is_number and element is not ParamType.BOOLEAN
        is_path = element is ParamType.PATH
        has_rules = bool(self._table.rules.model_fields_set)
        for key, is_given, fits, kinds in (
            ("minimum", param.minimum is not None, is_number, "numbers"),
            ("maximum", param.maximum is not None, is_number, "numbers"),
            ("pattern", param.pattern is not None, is_text, "texts"),
            ("max_length", param.max_length is not None, is_text, "texts"),
            ("min_items", param.min_items is not None, is_list, "lists"),
            ("max_items", param.max_items is not None, is_list, "lists"),
            ("media", bool(param.media), is_path, "paths"),
            ("validate", has_rules, is_path, "paths"),
        ):
            if is_given and not fits:
                kind = param.type if kinds == "lists" else element
                self._add(key, f"`{key}` is for {kinds}, not for a {kind}")
        if param.rules.checksum is not None:
            message = "the file of a parameter has no file with a checksum beside it"
            self._findings.add((*self._path, "validate", "checksum"), message)
        least, most = param.min_items, param.max_items
        if least is not None and most is not None and least > most:
            self._add("max_items", "`max_items` is below `min_items`")

    def _check_values(self) -> None:
        """Report a default or an example that the parameter itself would refuse."""
        param, findings = self._param, self._findings
        if findings.has(self._path):
            return
        if param.default is not None:
            if param.required:
                message = "is required, so that its `default` is never used"
                findings.add((*self._path, "default"), f"parameter `{param.name}` {message}")
            self._convert("default", "the default")
        if param.example is not None:
            self._convert("example", "the example")

    def _convert(self, key: str, what: str) -> None:
        try:
            made: Any = check_value(self._param, getattr(self._param, key))
        except BadValue as error:
            self._add(key, f"{what} of `{self._param.name}` {error}")
            return
        if key == "example" and self._param.type is ParamType.PATH:
            made = absolute(made, self._folder)
        object.__setattr__(self._param, key, made)

    def _add(self, key: str, message: str) -> None:
        self._findings.add((*self._path, key), message)


def _regex(path: Path, pattern: str | None, findings: Findings) -> str | None:
    if pattern is None:
        return None
    fault = patterns.fault(pattern)
    if fault:
        findings.add(path, f"`{pattern}` cannot be used as a pattern: {fault}")
        return None
    return pattern
