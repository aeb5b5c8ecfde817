"""Keys of items (rule K): from a path, or from the pipeline's own template."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.model.id_types import AttemptId, ItemId, TaskId, VersionId
from stoker.model.item import check_key, key_of
from stoker.model.task import Claimed
from stoker.spec.names import Place, resolve
from stoker.spec.parts import Placeholder, parse
from stoker.spec.values import Context, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.pipeline import Pipeline
    from stoker.model.source import Source


def key_for_path(path: str, *, pipeline: Pipeline, project_folder: str) -> str:
    """Return the default key of an item at `path`; UserError if there can be none.

    It is the path relative to the source's folder that contains it (the innermost, if sources are
    nested), else relative to the project's folder, else the absolute path without its first slash.
    A link that is the item itself keeps its own name; links in the folders before it do not matter:
    a path is in a folder if it is so as written, or once both are resolved.
    """
    within = place_in_source(path, pipeline)
    if within is not None:
        return key_of(within[1])
    written = absolute_path(path)
    inside = _relative(written, project_folder)
    return key_of(written.lstrip("/") if inside is None else inside)


def place_in_source(path: str, pipeline: Pipeline) -> tuple[Source, str] | None:
    """Return the innermost source in whose folder the path is, and the path there; None if none."""
    written = absolute_path(path)
    folders = [(one.folder, one) for one in pipeline.sources if one.folder is not None]
    for folder, source in sorted(folders, key=lambda pair: len(pair[0]), reverse=True):
        inside = _relative(written, folder)
        if inside is not None:
            return source, inside
    return None


def absolute_path(path: str) -> str:
    """Return `path` from the root, without `.` and `..`, a link at its end left as it is.

    Where a `..` follows a link, the system goes to the parent of where the link leads; so does
    this.
    """
    whole = path if path.startswith("/") else f"{Path.cwd()}/{path}"
    if ".." not in whole.split("/"):
        return "/" + os.path.normpath(whole).lstrip("/")
    head, tail = os.path.split(whole.rstrip("/"))
    if tail in (".", ".."):
        return os.path.realpath(whole)
    return f"{os.path.realpath(head).rstrip('/')}/{tail}"


def _relative(path: str, folder: str) -> str | None:
    inside = _below(path, os.path.normpath(folder))
    if inside is not None:
        return inside
    head, tail = os.path.split(path)
    return _below(f"{os.path.realpath(head).rstrip('/')}/{tail}", os.path.realpath(folder))


def _below(path: str, folder: str) -> str | None:
    start = folder.rstrip("/") + "/"
    return path[len(start) :] if path.startswith(start) and len(path) > len(start) else None


def key_from_template(
    pipeline: Pipeline,
    *,
    default_key: str,
    path: str | None = None,
    params: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> str:
    """Return the key that the pipeline's `key` makes of an item, or `default_key` without one.

    UserError if a value is missing or the outcome is no key.
    """
    if pipeline.key is None:
        return check_key(default_key)
    context = context_of(pipeline, default_key, path, params or {}, meta or {})
    made = ""
    for part in parse(pipeline.key):
        if isinstance(part, Placeholder):
            reference = resolve(part.name, pipeline, None, Place.KEY)
            made += Slot(reference, part.separator, part.offset).text(context)
        else:
            made += part.text
    try:
        return key_of(made)
    except UserError as error:
        raise UserError(
            f"`key` of pipeline `{pipeline.name}` for `{default_key}`: {error}"
        ) from None


def context_of(
    pipeline: Pipeline,
    key: str,
    path: str | None,
    params: Mapping[str, Any],
    meta: Mapping[str, Any],
) -> Context:
    """Return a context in which an item has no task yet."""
    claimed = Claimed(
        attempt=AttemptId(b""),
        task_id=TaskId(0),
        item_id=ItemId(0),
        version_id=VersionId(0),
        pipeline=pipeline.name,
        key=key,
        step="",
        number=0,
        generation=0,
        tries=0,
        path=path,
        params=params,
        meta=meta,
        cpus=1,
        memory_bytes=None,
    )
    return Context(claimed=claimed, scratch="")
