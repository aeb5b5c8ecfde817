"""The far end's part in publishing: what an attempt has staged gets to its published paths.

It may be broken off anywhere, and done again. What is no longer staged is at its path already, if
that has the content that the result names.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from stoker.errors import Conflict, OutputConflict, StaleAttempt, Unavailable, UserError
from stoker.failpoints import hit
from stoker.model.pipeline import Output
from stoker.model.task import Content, Wanted
from stoker.outpost.ground import as_line
from stoker.outpost.plain import from_plain, to_plain
from stoker.outpost.spool import Spool
from stoker.work.measure import NotPlain, measure
from stoker.work.outputs import OutputError, Piece, names_of
from stoker.work.permit import Permit
from stoker.work.publish import publish
from stoker.work.room import is_full_error
from stoker.work.scratch import wipe

MOST_QUESTION = 24 * 1024 * 1024


class Asker:
    """What the far end asks the near end while it publishes: the record of one attempt's paths."""

    def __init__(
        self,
        say: Callable[[Mapping[str, Any]], None],
        hear: Callable[[], dict[str, Any] | None],
        busy: Permit,
    ) -> None:
        self._say = say
        self._hear = hear
        self.busy = busy

    def contents_of(self, paths: Sequence[str]) -> Mapping[str, Sequence[Content]]:
        """Return what the task may have published at these paths."""
        answer = self._ask({"ask": "contents_of", "paths": list(paths)})
        return {
            path: tuple(from_plain(Content, one) for one in several)
            for path, several in answer.items()
        }

    def reserve(self, wanted: Sequence[Wanted]) -> None:
        """The task owns these paths, and the attempt still counts."""
        hit("outpost.before_reserve")
        self._ask({"ask": "reserve", "wanted": [to_plain(one) for one in wanted]})

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if len(as_line(question)) > MOST_QUESTION:
            raise OutputError(
                "it has more files than can be published from another site; pack them"
            )
        self._say(question)
        answer = self._hear()
        if answer is None:
            raise Unavailable("the near end is gone")
        refused = answer.get("refused")
        if refused is not None:
            kinds = {"stale": StaleAttempt, "conflict": OutputConflict}
            raise kinds.get(refused, Conflict)(str(answer.get("text")))
        found: dict[str, Any] = answer["answer"]
        return found


class _Changed(Exception):
    """What is staged differs from what the result names; the text says how."""


def publish_staged(spool: Spool, asked: Mapping[str, Any], asker: Asker) -> dict[str, Any]:
    """Return `published`, or `failed` with the reason, or `stale`."""
    attempt, start = str(asked["attempt"]), str(asked["start"])
    if not (attempt.isalnum() and start.isalnum()):
        raise UserError("that is no attempt")
    staging = spool.at("runs", attempt, start, "out")
    try:
        pieces = _still_staged(staging, asked["outputs"], asker.busy)
        if pieces:
            with _hidden_names(spool) as hidden:
                publish(pieces, hidden, asker, own=[staging], permit=asker.busy)
    except StaleAttempt:
        return {"stale": True}
    except (OutputConflict, _Changed, OutputError, OSError) as error:
        return _refusal(error)
    hit("outpost.published")
    return {"published": True}


def _refusal(error: Exception) -> dict[str, Any]:
    """Return why it was not published: for good, or for now."""
    cause = error.__cause__ if isinstance(error, OutputError) else error
    if isinstance(error, OutputConflict):
        return {"failed": str(error), "cause": "output_conflict"}
    if isinstance(error, _Changed):
        return {"failed": str(error), "cause": "staged_changed"}
    if isinstance(error, OutputError) and not (cause is not None and is_full_error(cause)):
        return {"failed": str(error), "cause": "output"}
    return {"later": f"what was made there cannot be published now: {error}"}


def _still_staged(
    staging: str, outputs: Sequence[Mapping[str, Any]], permit: Permit
) -> list[Piece]:
    """Return what is still to be published; _Changed if anything is neither here nor there as it was."""
    pieces = []
    for one in outputs:
        position, basename, target = int(one["position"]), str(one["basename"]), str(one["target"])
        if "/" in basename or basename in ("", ".", ".."):
            raise UserError(f"`{basename}` is no name of a file")
        source = os.path.join(staging, str(position), basename)
        is_staged = os.path.lexists(source)
        where = source if is_staged else target
        if os.path.islink(where):
            raise _Changed(f"`{where}` was replaced by a link since")
        try:
            content = measure(where, permit)
        except FileNotFoundError:
            raise _Changed(
                f"output `{one['name']}` is gone from the spool since it was made (`{source}`)"
            ) from None
        except (OSError, NotPlain) as error:
            raise _Changed(f"output `{one['name']}` cannot be read: {error}") from None
        if (content.size_bytes, content.checksum) != (one["size_bytes"], one["checksum"]):
            raise _Changed(
                f"output `{one['name']}` has changed since it was made (`{where}`): "
                f"{content.size_bytes:,} bytes, {content.checksum}"
            )
        if is_staged:
            output = Output(name=str(one["name"]), to=target, overwrite=bool(one["overwrite"]))
            pieces.append(Piece(output, source, target, names_of(target)))
    return pieces


class _Hidden:
    """Remembers hidden names beside targets, so that the next visit removes what a crash leaves."""

    def __init__(self, path: str) -> None:
        self._path = path

    @contextmanager
    def hidden(self, path: str) -> Iterator[None]:
        """While inside, `path` may exist."""
        with open(self._path, "ab") as file:
            file.write(os.fsencode(path) + b"\0")
        yield


@contextmanager
def _hidden_names(spool: Spool) -> Iterator[_Hidden]:
    """Nothing is left under the hidden names of this visit, nor of one that broke off before."""
    path = spool.at("hidden")
    _clear(path)
    yield _Hidden(path)
    _clear(path)


def _clear(path: str) -> None:
    with suppress(FileNotFoundError):
        with open(path, "rb") as file:
            for name in filter(None, file.read().split(b"\0")):
                wipe(os.fsdecode(name))
        os.unlink(path)
