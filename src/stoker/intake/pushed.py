"""Paths, folders, lists of names and tables as items to register: a stream, one pass, no copies.

What cannot be taken is reported to `refuse`, with the thing, the rule and the remedy, and the rest goes
on. Nothing here writes anything.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import xxhash

from stoker.errors import UserError
from stoker.intake.fields import PART, Fields, found_parts, gathered, lack_of
from stoker.intake.found import check_rights, found_at, measure_folder, moment
from stoker.intake.globs import PathFilter
from stoker.intake.reach import check_reach
from stoker.model.file_kinds import kind_of
from stoker.model.item import NewItem, is_plain_key, key_from_name, key_of
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.saying import NOTHING, Saying, mark_of
from stoker.model.source import Source
from stoker.spec.keys import absolute_path, key_for_path, key_from_template, place_in_source
from stoker.spec.params import Places, check_params, is_path, place_given, place_paths

PLAIN_NAME_LIMIT = 300  # characters up to which a key cannot be too long in bytes
_CACHED_FOLDERS = 10_000
_NO_META: Mapping[str, Any] = {}

Refuse = Callable[[str], None]


class Values(NamedTuple):
    """The parameters of an item, what stands for them in its fingerprint, and what was said of them."""

    params: Mapping[str, Any]
    mark: str
    saying: Saying = NOTHING


_NO_VALUES = Values({}, "")


class Listing:
    """Makes items of one pipeline; what is `given` of parameters, and `priority`, are for all of them.

    Of records, `meta` that the pipeline names is content unless `reads_meta` is false. Paths in `given` are
    relative to the working directory. UserError at once if the parameters are wrong: nothing could be taken.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        project_folder: str,
        refuse: Refuse,
        given: Mapping[str, object] | None = None,
        priority: int = 0,
        reads_meta: bool = True,
    ) -> None:
        self.pipeline = pipeline
        self.refuse = refuse
        self.priority = priority
        self.given = dict(given or {})
        if any(map(is_path, pipeline.params)) and self.given:
            self.given = place_given(pipeline.params, self.given, os.getcwd())
        self._project_folder = project_folder
        self._is_plain = pipeline.key is None
        self._has_fields = any(one.fields is not None for one in pipeline.sources)
        self._values: Values | None = None
        self._in_meta: frozenset[str] | None = None if reads_meta else frozenset()
        self._folders: dict[str, tuple[str, str] | None] = {}
        self._filter = PathFilter(pipeline, project_folder)

    def refusing_to(self, refuse: Refuse) -> "Listing":
        """Return the same listing, which reports to another what it cannot take."""
        return Listing(
            self.pipeline,
            project_folder=self._project_folder,
            refuse=refuse,
            given=self.given,
            priority=self.priority,
        )

    def names(self, names: Iterable[str], *, opens_folders: bool = True) -> Iterator[NewItem]:
        """Yield an item for each name: a path, or for records the record's own text.

        A folder stands for the files below it; not with `opens_folders` false, where it is refused.
        """
        self._be_checked()
        if self.pipeline.items is ItemKind.RECORDS:
            return self._records(names)
        of_files = self._files if opens_folders else self._single_file
        make = self._folder_items if self.pipeline.items is ItemKind.FOLDERS else of_files
        return (item for name in names for item in self._guarded(make, name))

    def _guarded(self, make: Callable[[str], Iterator[NewItem]], name: str) -> Iterator[NewItem]:
        """Yield what `make` makes of one name; what goes wrong is refused and ends nothing else."""
        try:
            yield from make(name)
        except UserError as error:
            self.refuse(str(error))
        except OSError as error:
            self.refuse(f"`{name}` cannot be taken: {error.strerror}")
        except ValueError:
            self.refuse(f"{name!r} has a NUL byte, which no path can have")

    def row(
        self,
        key: str,
        given: Mapping[str, object],
        *,
        where: str,
        folder: str,
        columns: Collection[str] = (),
        meta: Mapping[str, Any] = _NO_META,
    ) -> NewItem:
        """Return the item of a table's row; UserError or OSError if it cannot be taken.

        The row has a say in the parameters `columns`, those that it leaves empty too. For a record,
        `meta` that the pipeline names is content: another value there is a change (see `reads_meta`).
        """
        values = self._checked(given, columns=columns, where=where, folder=folder)
        if self.pipeline.items is ItemKind.RECORDS:
            return self._record(key, values, meta)
        path = os.path.join(folder, key)
        if self.pipeline.items is ItemKind.FOLDERS:
            return self._folder_item(path, values, more=meta)
        return self._file(path, found_at(path), values, meta)

    def _checked(
        self,
        given: Mapping[str, object],
        *,
        columns: Collection[str] = (),
        where: str,
        folder: str = "",
    ) -> "Values":
        """Return the parameters of an item: what is `given` for it, else what is for all of them.

        Paths in `given` are relative to `folder`.
        """
        declared = self.pipeline.params
        if not (declared or given or self.given):
            return _NO_VALUES
        places = Places(given=folder, defaults=self.pipeline.folder)
        params = check_params(declared, {**self.given, **given}, where=where, places=places)
        otherwise = {
            one.name: place_paths(one.default, places.defaults) if is_path(one) else one.default
            for one in declared
        }
        settings = {name: otherwise[name] for name in self.given if name not in given}
        mark = mark_of({**params, **settings})
        if not settings and not columns:
            return Values(params, mark)
        return Values(params, mark, Saying(settings=settings, columns=columns, values=tuple(given)))

    # ----------------------------------------------------------------------------------- records

    def _records(self, texts: Iterable[str]) -> Iterator[NewItem]:
        """Yield a record for each text; there may be millions, and nothing but the text to read."""
        values, priority = self._be_checked(), self.priority
        params, mark, saying = values
        for text in texts:
            if self._is_plain and is_plain_key(text):
                yield NewItem(
                    key=text,
                    params=params,
                    fingerprint=mark,
                    mark=mark,
                    saying=saying,
                    priority=priority,
                )
                continue
            try:
                record = self._record(text, values)
            except UserError as error:
                self.refuse(str(error))
            else:
                yield record

    def _record(self, text: str, values: "Values", meta: Mapping[str, Any] = _NO_META) -> NewItem:
        if not text and self._is_plain:
            raise UserError(
                f"a record of `{self.pipeline.name}` needs a key: write it after the pipeline's "
                "name, or set `key` in the pipeline, for example to a parameter"
            )
        if self._is_plain:
            key = key_of(text)
        else:
            default_key = key_from_name(text)
            key = key_from_template(
                self.pipeline, default_key=default_key, params=values.params, meta=meta
            )
        return NewItem(
            key=key,
            params=values.params,
            meta=meta,
            fingerprint=self._content_of(meta) + values.mark,
            mark=values.mark,
            saying=values.saying,
            priority=self.priority,
        )

    # ------------------------------------------------------------------------------------- files

    def _files(self, path: str) -> Iterator[NewItem]:
        """Yield the file at `path`, or the files below it if it is a folder."""
        found = found_at(path)
        if stat.S_ISDIR(found.st_mode):
            check_reach(path, self._project_folder)
            yield from self.files_below(path)
            return
        yield self._file(path, found, self._be_checked())

    def files_below(self, folder: str) -> Iterator[NewItem]:
        """Yield the files below a folder that the pipeline takes; one without any is refused."""
        taken = 0
        for inner in self._filter.below(folder, self.refuse):
            taken += 1
            yield from self._guarded(self._single_file, inner)
        if not taken:
            self.refuse(f"`{folder}` holds no file that pipeline `{self.pipeline.name}` takes")

    def _single_file(self, path: str) -> Iterator[NewItem]:
        yield self._file(path, found_at(path), self._be_checked())

    def file_at(
        self,
        path: str,
        found: os.stat_result,
        *,
        meta: Mapping[str, Any] | None = None,
        own_name: str | None = None,
    ) -> NewItem:
        """Return the item of a regular file that was `found` at `path`; UserError if it has no key.

        With `own_name` its default key ends with that instead of the file's name.
        """
        return self._item_of(path, found, self._be_checked(), meta or {}, own_name)

    def folder_at(self, path: str, *, meta: Mapping[str, Any]) -> NewItem:
        """Return the item that the folder at `path` is; UserError or OSError if it cannot be one."""
        return self._folder_item(path, self._be_checked(), meta)

    def _be_checked(self) -> "Values":
        """Return the parameters of all items that have none of their own; UserError if wrong."""
        if self._values is None:
            self._values = self._checked({}, where="these items")
        return self._values

    def _content_of(self, meta: Mapping[str, Any]) -> str:
        """Return what distinguishes one record from another besides its parameters."""
        if not meta:
            return ""
        if self._in_meta is None:
            self._in_meta = self.pipeline.names_in_meta()
        named = sorted((name, meta[name]) for name in self._in_meta if name in meta)
        return f"meta-{xxhash.xxh3_64_hexdigest(repr(named).encode())}" if named else ""

    def _file(
        self,
        path: str,
        found: os.stat_result,
        values: "Values",
        meta: Mapping[str, Any] = _NO_META,
    ) -> NewItem:
        if stat.S_ISDIR(found.st_mode):
            raise UserError(
                f"`{path}` is a folder; the items of pipeline `{self.pipeline.name}` are files: name "
                f"each of them (`stoker push {self.pipeline.name} FOLDER` takes all files in one)"
            )
        if not stat.S_ISREG(found.st_mode):
            raise UserError(
                f"`{path}` is neither a file nor a folder, but {kind_of(found.st_mode)}; "
                f"the items of pipeline `{self.pipeline.name}` are files"
            )
        check_rights(path)
        place = place_in_source(path, self.pipeline) if self._has_fields else None
        if place is None or place[0].fields is None:
            return self._item_of(path, found, values, meta)
        item = self._named_file(path, found, values, *place)
        return replace(item, meta={**meta, **item.meta}) if meta else item

    def _named_file(
        self, path: str, found: os.stat_result, values: "Values", source: Source, inside: str
    ) -> NewItem:
        """Return the item that a source with `fields` makes of a file: with all of its parts."""
        fields = Fields(source)
        named = fields.read(inside)
        if not source.parts:
            return self._item_of(path, found, values, named)
        named.pop(PART)
        folder = os.path.dirname(absolute_path(path))
        parts = found_parts(fields, folder, named)
        lack = lack_of(fields, parts)
        if lack is not None:
            raise UserError(f"`{path}`: {lack}")
        return gathered(fields, folder, named, parts, partial(self._item_of, values=values))

    def _item_of(
        self,
        path: str,
        found: os.stat_result,
        values: "Values",
        meta: Mapping[str, Any] = _NO_META,
        own_name: str | None = None,
    ) -> NewItem:
        """Return the item of a file; its key ends with `own_name`, or is its folder if that is empty."""
        default, real = self._key_and_path(path)
        if own_name is not None:
            default = "/".join(filter(None, (default.rpartition("/")[0], own_name)))
        mtime_ns = found.st_mtime_ns
        return NewItem(
            key=default if self._is_plain else self._own_key(default, real, values.params, meta),
            path=real,
            params=values.params,
            meta=meta,
            size_bytes=found.st_size,
            mtime_us=moment(mtime_ns),
            fingerprint=f"{found.st_size}:{mtime_ns}{values.mark}",
            mark=values.mark,
            saying=values.saying,
            priority=self.priority,
        )

    def _folder_items(self, path: str) -> Iterator[NewItem]:
        yield self._folder_item(path, self._be_checked())

    def _folder_item(
        self,
        path: str,
        values: "Values",
        meta: Mapping[str, Any] | None = None,
        *,
        more: Mapping[str, Any] = _NO_META,
    ) -> NewItem:
        found = found_at(path)
        if not stat.S_ISDIR(found.st_mode):
            raise UserError(
                f"`{path}` is not a folder; the items of pipeline `{self.pipeline.name}` are folders "
                '(`items = "files"` takes files)'
            )
        check_rights(path, is_folder=True)
        if meta is None:
            place = place_in_source(path, self.pipeline) if self._has_fields else None
            meta = {**more, **({} if place is None else Fields(place[0]).read(place[1]))}
        check_reach(path, self._project_folder, with_project=True)
        default, real = self._key_and_path(path.rstrip("/") or "/")
        measured = measure_folder(real)
        return NewItem(
            key=default if self._is_plain else self._own_key(default, real, values.params, meta),
            path=real,
            params=values.params,
            meta=meta,
            size_bytes=measured.size_bytes,
            mtime_us=moment(measured.mtime_ns),
            fingerprint=measured.content + values.mark,
            mark=values.mark,
            saying=values.saying,
            priority=self.priority,
        )

    def _own_key(
        self, default: str, path: str, params: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> str:
        return key_from_template(
            self.pipeline, default_key=default, path=path, params=params, meta=meta
        )

    def _key_and_path(self, path: str) -> tuple[str, str]:
        """Return the default key and the real path; what a folder's files share is kept."""
        head, _, tail = path.rpartition("/")
        is_plain = tail.isascii() and tail.isprintable() and tail not in ("", ".", "..")
        if is_plain and len(path) < PLAIN_NAME_LIMIT and not os.path.islink(path):
            shared = self._shared(head if head or not path.startswith("/") else "/")
            if shared is not None:
                return shared[0] + tail, shared[1] + tail
        key = key_for_path(path, pipeline=self.pipeline, project_folder=self._project_folder)
        return key, os.path.realpath(path)

    def _shared(self, folder: str) -> tuple[str, str] | None:
        """Return what keys and real paths of files in `folder` begin with; None if they differ."""
        if folder in self._folders:
            return self._folders[folder]
        probe = os.path.join(folder, "x")
        key = key_for_path(probe, pipeline=self.pipeline, project_folder=self._project_folder)
        written = absolute_path(probe)
        real = os.path.realpath(folder or ".").rstrip("/") + "/"
        is_plain = key_from_name(written) == written and len(key) < PLAIN_NAME_LIMIT
        shared = (key[:-1], real) if is_plain else None
        if len(self._folders) >= _CACHED_FOLDERS:
            self._folders.clear()
        self._folders[folder] = shared
        return shared
