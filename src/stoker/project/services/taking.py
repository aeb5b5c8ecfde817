"""The process that takes items in while `stoker up` works.

Run as `python -m stoker.project.services.taking FILE`: it follows all sources of the project, a thread each,
until its standard input ends, which it does when its parent is gone. It writes a line whenever items
were registered, so that the worker need not wait for its own next look. Nothing is lost if it is
killed: what it has taken is in the store, and it begins from there when it is started again.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from stoker.errors import NotFound, StokerError, StoreGone, Unavailable
from stoker.intake.checksums import Contents
from stoker.intake.register_found import Taker
from stoker.intake.sources.kinds import make_progress, make_source
from stoker.intake.sources.source import Over
from stoker.project.project import open_project
from stoker.work import contain

if TYPE_CHECKING:
    from stoker.project.project import Project

BROKEN_S = 30.0  # before a source is followed again that met a bug

_log = logging.getLogger(__name__)


def main() -> int:
    """Follow the sources of the project that is named, until the input ends; return the exit code.

    Our parent says that the store does not answer, and starts another of us.
    """
    try:
        _follow_all()
    except StokerError as error:
        if not isinstance(error, NotFound | StoreGone | Unavailable):
            sys.stderr.write(f"stoker: {error}\n")
        return error.exit_code
    return 0


def _follow_all() -> None:
    contain.close_to_others()  # it has what secrets the service was given
    over = Over()
    with open_project(sys.argv[1]) as project:
        takers = takers_of(project, on_taken=_tell, over=over)
        of_folders = [
            pipeline
            for pipeline in project.pipelines.values()
            if any(source.folder is not None for source in pipeline.sources)
        ]
        contents = Contents(project.store, of_folders)
        reader = threading.Thread(target=contents.follow, args=(over,), name="contents")
        reader.start()
        with following(takers, over):
            while os.read(0, 4096):
                pass
            over.set()
        reader.join()


@contextmanager
def following(takers: Sequence[Taker], over: Over) -> Iterator[None]:
    """Each taker is followed by a thread of its own, until the block ends, after `over` was set.

    A bug in one source, which would end its thread, is reported as its trouble; a while later it is
    followed again. The others hear nothing of it.
    """
    threads: dict[threading.Thread, Taker] = {}

    def begin(taker: Taker, after_s: float) -> None:
        thread = threading.Thread(
            target=_follow, args=(taker, over, after_s), name=taker.source.name
        )
        threads[thread] = taker
        thread.start()

    def again(args: threading.ExceptHookArgs) -> None:
        taker = threads.get(args.thread) if args.thread is not None else None
        if taker is None or args.exc_value is None:
            before(args)
            return
        _log.error(
            "a source met a bug and starts again",
            extra={"event": "source_broken", "source": taker.source.name},
            exc_info=args.exc_value,
        )
        with suppress(StokerError):
            taker.tell(f"a bug in Stoker: {args.exc_type.__name__}: {args.exc_value}")
        begin(taker, BROKEN_S)

    before, threading.excepthook = threading.excepthook, again
    try:
        for taker in takers:
            begin(taker, 0.0)
        yield
    finally:
        while threads:
            thread = next(iter(threads))
            thread.join()
            del threads[thread]
        threading.excepthook = before


def _follow(taker: Taker, over: Over, after_s: float) -> None:
    over.rest(after_s)
    taker.follow(over)


def _tell(_taken: int) -> None:
    """The reader of our output knows that there is something new, if it is still there."""
    try:
        os.write(1, b"\n")
    except OSError:
        return


def takers_of(
    project: "Project",
    *,
    on_taken: Callable[[int], None] | None = None,
    over: Over | None = None,
) -> list[Taker]:
    """Return what takes from the sources of all pipelines of the project's file.

    And what reports the progress of items to their feeds.
    """
    store, actor, takers = project.store, project.actor(), []
    for pipeline in project.pipelines.values():
        for declared in pipeline.sources:
            source = make_source(
                store,
                pipeline,
                declared,
                project_folder=project.settings.folder,
                over=over,
                actor=actor,
            )
            most = declared.max_open
            takers.append(
                Taker(store, pipeline.name, source, actor, max_open=most, on_taken=on_taken)
            )
            progress = make_progress(store, pipeline, declared)
            if progress is not None:
                takers.append(Taker(store, pipeline.name, progress, actor))
    return takers


if __name__ == "__main__":
    sys.exit(main())
