"""The process that takes items in while `stoker up` works.

Run as `python -m stoker.project.taking FILE`: it follows all sources of the project, a thread each,
until its standard input ends, which it does when its parent is gone. It writes a line whenever items
were registered, so that the worker need not wait for its own next look. Nothing is lost if it is
killed: what it has taken is in the store, and it begins from there when it is started again.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from stoker.intake.contents import Contents
from stoker.intake.kinds import make_progress, make_source
from stoker.intake.source import Over
from stoker.intake.taking import Taker
from stoker.project.project import open_project

if TYPE_CHECKING:
    from stoker.project.project import Project


def main() -> None:
    """Follow the sources of the project that is named, until the input ends."""
    over = Over()
    with open_project(sys.argv[1]) as project:
        takers = takers_of(project, on_taken=_tell, over=over)
        threads = [
            threading.Thread(target=taker.follow, args=(over,), name=taker.source.name)
            for taker in takers
        ]
        of_folders = [
            pipeline.name
            for pipeline in project.pipelines.values()
            if any(source.folder is not None for source in pipeline.sources)
        ]
        contents = Contents(project.store, of_folders)
        threads.append(threading.Thread(target=contents.follow, args=(over,), name="contents"))
        for thread in threads:
            thread.start()
        while os.read(0, 4096):
            pass
        over.set()
        for thread in threads:
            thread.join()


def _tell(_taken: int) -> None:
    """Whoever reads our output knows that there is something new; one who is gone need not."""
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

    And what tells feeds of the progress of their items.
    """
    store, takers = project.store, []
    for pipeline in project.pipelines.values():
        for declared in pipeline.sources:
            source = make_source(
                store, pipeline, declared, project_folder=project.settings.folder, over=over
            )
            most = declared.max_open
            takers.append(Taker(store, pipeline.name, source, max_open=most, on_taken=on_taken))
            progress = make_progress(store, pipeline, declared)
            if progress is not None:
                takers.append(Taker(store, pipeline.name, progress))
    return takers


if __name__ == "__main__":
    main()
