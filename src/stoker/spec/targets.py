"""Where an output is published: a template filled in, and held inside the folder it names."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from stoker.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.model.pipeline import Output
    from stoker.spec.values import Context, Slot


def render(output: Output, parts: Sequence[str | Slot], context: Context, folder: str) -> str:
    """Return the published path of `output`: absolute, with a trailing slash if it is a folder.

    What the author wrote, and paths that Stoker knows (`{item}`, `{dir}`, `{in.…}`), may lead
    anywhere. From the first value that comes from outside on, the path only goes deeper: UserError
    for a `..`, an absolute value, or values that leave no name.
    """
    text = ""
    fixed: int | None = None
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        value = part.text(context)
        _check_value(output, part, value)
        if part.reference.is_free and fixed is None:
            fixed = text.rfind("/") + 1
        text += value
    if fixed is not None:
        _check_tail(output, text[fixed:])
    path = os.path.normpath(
        "/" + (text if text.startswith("/") else f"{folder}/{text}").lstrip("/")
    )
    return f"{path}/" if output.is_folder else path


def _check_value(output: Output, slot: Slot, value: str) -> None:
    name = slot.reference.name
    if slot.reference.is_free and value.startswith("/"):
        raise UserError(
            f"output `{output.name}` would leave its folder: `{{{name}}}` is `{value}`, an absolute "
            "path; give it a relative value"
        )
    if slot.reference.is_absolute and not value:
        raise UserError(f"output `{output.name}` has no path: `{{{name}}}` is empty for this item")


def _check_tail(output: Output, tail: str) -> None:
    components = tail.split("/")
    if ".." in components:
        raise UserError(
            f"output `{output.name}` would leave its folder by `..` in `{tail}`; "
            "change the item's key or parameter"
        )
    names = [component for component in components if component not in ("", ".")]
    if not names or (components[-1] in ("", ".") and not output.is_folder):
        raise UserError(
            f"output `{output.name}` has no name of its own: its path ends in `{tail}`; "
            "a value in it is empty"
        )
