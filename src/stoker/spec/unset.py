"""Where `check` warns: a source of files sets no parameter, though the file reads as if it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline


def find_unset(pipeline: Pipeline) -> list[str]:
    """Return a warning for each field that has a parameter's name, and for what a folder cannot give.

    The parts of a file's name are in `meta`. An item from a folder has the defaults of its parameters.
    """
    params = {one.name: one for one in pipeline.params}
    required = [one.name for one in params.values() if one.required and one.default is None]
    found = []
    for source in pipeline.sources:
        if source.folder is None:
            continue
        found += [
            f"source `{source.name}`: the field `{name}` sets `{{meta.{name}}}`, not the parameter "
            f"`{name}`; use `{{meta.{name}}}` in the steps"
            for name in source.field_names
            if name in params
        ]
        found += [
            f"source `{source.name}` refuses every item: parameter `{name}` is required, and a folder "
            "sets no parameters; give it a default"
            for name in required
        ]
    return found
