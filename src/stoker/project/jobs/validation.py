"""Everything about a request that can be known before it is accepted, and all its mistakes at once.

One function for every door over HTTP: the standard's, the API's and the forms'. It writes nothing.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.model.encoding import Answer
from stoker.model.pipeline import ItemKind
from stoker.spec.params import BadValue, is_path, place_paths
from stoker.spec.problems import suggest
from stoker.spec.strict import Fault, strict_value
from stoker.spec.web import ITEM

if TYPE_CHECKING:
    from stoker.model.pipeline import Param, Pipeline
    from stoker.model.source import Rules

COMMAND_S = 10.0  # for one validator of one file
ALL_COMMANDS_S = 60.0  # for all files of one request
_AT_ONCE = threading.BoundedSemaphore(4)  # validators that run, whatever number of clients asks
_SHOWN = 200  # characters of a value that an error repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class InputError(Answer):
    """One mistake in a request: the input, the rule that it breaks, that rule's limit, and the value.

    `input` is the name of a parameter, `item`, or a place in a list such as `tags[2]`.
    """

    input: str
    rule: str
    detail: str
    limit: Any = None
    value: Any = None


class InvalidRequest(UserError):
    """A request cannot be accepted; `errors` are all its mistakes."""

    def __init__(self, errors: tuple[InputError, ...]) -> None:
        super().__init__("; ".join(one.detail for one in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFile:
    """A file that the client has named: an upload, or an earlier result, on a disk of ours.

    `name` is what the client calls it; `media` what it says the file is, None if it says nothing.
    """

    path: str
    name: str
    size_bytes: int
    media: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A request without mistakes. Where a parameter names files, its value is a GivenFile, or a list."""

    params: Mapping[str, Any]
    item: GivenFile | None = None


FindFile = Callable[[str, object], GivenFile]


def no_file(_input: str, _given: object) -> GivenFile:
    """Refuse whatever is to name a file: for callers that cannot receive any."""
    message = "names a file: upload it first, and give the upload, or an earlier result"
    raise BadValue(message, rule="type", limit="upload")


@dataclass(slots=True)
class Budget:
    """The time that validators of one request have together, however many items it has.

    `environment` is theirs; without one they get that of this process, but for the store's password.
    """

    left_s: float = ALL_COMMANDS_S
    command_s: float = COMMAND_S
    environment: Mapping[str, str] = field(default_factory=lambda: validator_environment(()))


def check_request(
    pipeline: "Pipeline",
    inputs: Mapping[str, object],
    *,
    key: str = "",
    find_file: FindFile = no_file,
    budget: Budget | None = None,
) -> Checked:
    """Return the request with the values of all parameters, defaults filled in.

    InvalidRequest has every mistake: of types, values, files and their content. `find_file` returns
    the file that an input names, or raises BadValue. `key` is for commands that have `{key}`.
    """
    found: list[Fault] = []
    params = {param.name: param for param in pipeline.params}
    is_record = pipeline.items is ItemKind.RECORDS
    errors = list(_unknown(inputs, [*params, *([] if is_record else [ITEM])]))
    values = {
        name: strict_value(param, inputs[name], found, file=find_file)
        if name in inputs
        else _default(param, pipeline.folder, errors)
        for name, param in params.items()
    }
    item = None
    if not is_record:
        item = _own_file(inputs, errors, found, find_file)
    errors += [
        InputError(
            input=place,
            rule=bad.rule,
            limit=bad.limit,
            value=_shown(given),
            detail=f"input `{place}` {bad}",
        )
        for place, given, bad in found
    ]
    files = _Files(pipeline, key, budget or Budget())
    if item is not None:
        errors += files.faults(ITEM, item, pipeline.rules, ())
    for name, param in params.items():
        if name in inputs:
            for place, file in _files_of(name, values[name]):
                errors += files.faults(place, file, param.rules, param.media)
    if errors:
        raise InvalidRequest(tuple(errors))
    return Checked(params=values, item=item)


def _unknown(inputs: Mapping[str, object], known: list[str]) -> Iterator[InputError]:
    for name in inputs:
        if name not in known:
            short = str(name)[:60]
            hint = suggest(short, known) or "there are none"
            detail = f"there is no input `{short}`; {hint}"
            yield InputError(input=short, rule="unknown", detail=detail)


def _default(param: "Param", folder: str, errors: list[InputError]) -> Any:
    if param.required:
        detail = f"input `{param.name}` is required"
        errors.append(InputError(input=param.name, rule="required", detail=detail))
    if not is_path(param):
        return param.default
    placed = place_paths(param.default, folder)  # the file's own, which no client chooses
    for path in placed if isinstance(placed, list) else [placed]:
        if path is not None and not os.path.exists(path):
            detail = f"input `{param.name}` has a default whose file is missing on the server"
            errors.append(InputError(input=param.name, rule="file", detail=detail))
    return placed


def _own_file(
    inputs: Mapping[str, object],
    errors: list[InputError],
    found: list[Fault],
    find_file: FindFile,
) -> GivenFile | None:
    if ITEM not in inputs:
        detail = f"input `{ITEM}` is required: it is the file to work on"
        errors.append(InputError(input=ITEM, rule="required", detail=detail))
        return None
    try:
        return find_file(ITEM, inputs[ITEM])
    except BadValue as bad:
        found.append((ITEM, inputs[ITEM], bad))
        return None


def _files_of(name: str, value: object) -> Iterator[tuple[str, GivenFile]]:
    """Yield each file of an input's value, with its place."""
    if isinstance(value, GivenFile):
        yield name, value
    elif isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, GivenFile):
                yield f"{name}[{index}]", one


def _shown(value: object) -> Any:
    """Return a value as an error repeats it: short, and never half of it as if it were whole."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode("utf-8")
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else f"{str(value)[:_SHOWN]}"
    return "an array" if isinstance(value, list) else "an object"


class _Files:
    """Looks into the files of one request."""

    def __init__(self, pipeline: "Pipeline", key: str, budget: Budget) -> None:
        self._folder = pipeline.folder
        self._project = pipeline.project_folder
        self._max_upload_bytes = pipeline.web.max_upload_bytes
        self._key = key
        self._budget = budget

    def faults(
        self, place: str, file: GivenFile, rules: "Rules", media: tuple[str, ...]
    ) -> list[InputError]:
        """Return what is wrong with a file; its command is asked only where nothing else is."""
        from stoker.intake.file_rules import check_magic, check_size

        unreadable = self._fault(place, file, lambda: _be_readable(file))
        if unreadable is not None:
            return [unreadable]
        looks: list[Callable[[], None]] = [
            lambda: _check_upload(file, self._max_upload_bytes),
            lambda: check_size(rules, file.size_bytes),
            lambda: check_magic(rules, file.path),
            lambda: _check_media(file, media),
        ]
        found = [fault for look in looks if (fault := self._fault(place, file, look)) is not None]
        if not found and rules.command:
            fault = self._fault(place, file, lambda: self._ask(file, rules))
            found = [] if fault is None else [fault]
        return found

    def _fault(self, place: str, file: GivenFile, look: Callable[[], None]) -> InputError | None:
        from stoker.intake.extract import Unfit

        rule, limit = "file", None
        try:
            look()
        except Unfit as unfit:
            rule, limit, why = unfit.rule, unfit.limit, str(unfit)
        except OSError as error:
            why = f"it cannot be read: {error.strerror}"
        else:
            return None
        return InputError(
            input=place,
            rule=rule,
            limit=limit,
            value=file.name[:_SHOWN],
            detail=f"input `{place}`: {why}",
        )

    def _ask(self, file: GivenFile, rules: "Rules") -> None:
        """Unfit unless the command of `validate` takes the file, in a time that is limited."""
        from stoker.intake.extract import Unfit
        from stoker.intake.file_rules import filled
        from stoker.work.contained_command import judge

        budget = self._budget
        limit_s = min(budget.command_s, budget.left_s)
        if limit_s <= 0:
            message = f"the files of one request may take {ALL_COMMANDS_S:g} s to check; send fewer"
            raise Unfit(message, rule="command", limit=ALL_COMMANDS_S)
        with _AT_ONCE:
            began_s = time.monotonic()
            found = judge(
                filled(rules.command, file.path, key=self._key, project=self._project),
                folder=self._folder,
                limit_s=limit_s,
                environment=budget.environment,
            )
        budget.left_s -= time.monotonic() - began_s
        if found.is_good:
            return
        if found.error:
            why = f"the validator cannot be started: {found.error}"
        elif found.code is None:
            why = f"the validator gave no answer within {limit_s:g} s"
        else:
            why = found.said[:_SHOWN] or f"the validator exited with status {found.code}"
        raise Unfit(why, rule="command", limit=rules.command[0])


def _check_upload(file: GivenFile, max_bytes: int | None) -> None:
    from stoker.intake.extract import Unfit

    if max_bytes is not None and file.size_bytes > max_bytes:
        message = f"it has {file.size_bytes:,} bytes; `max_upload` is {max_bytes:,}"
        raise Unfit(message, rule="max_upload", limit=max_bytes)


def _be_readable(file: GivenFile) -> None:
    with open(file.path, "rb"):
        pass


def _check_media(file: GivenFile, accepted: tuple[str, ...]) -> None:
    """Unfit if the file is not of an accepted media type, by what the client says or by its content."""
    from stoker.intake.extract import Unfit
    from stoker.project.jobs import media

    if not accepted:
        return
    shown = " or ".join(f"`{one}`" for one in accepted)
    if file.media is not None and not media.is_of(file.media, accepted):
        message = f"it is `{file.media[:100]}` and must be {shown}"
        raise Unfit(message, rule="media", limit=list(accepted))
    with open(file.path, "rb") as content:
        why = media.contradiction(content.read(media.HEAD_BYTES), accepted)
    if why is not None:
        raise Unfit(f"{why} and must be {shown}", rule="media", limit=list(accepted))


def validator_environment(secrets: tuple[str, ...]) -> dict[str, str]:
    """Return the environment that validators get: the service's own without its secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in secrets and not name.startswith("STOKER_")
    }
