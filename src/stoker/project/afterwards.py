"""What is done before work and once it has ended: progress written back, tables brought up to date, messages sent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stoker.project.services.notifying import send_due, write_from_now_on
from stoker.project.sources import write_progress
from stoker.project.value_tables.keeping import keep_all

if TYPE_CHECKING:
    from stoker.project.opened import Opened
    from stoker.store.unit import Store


def begin(project: "Opened", store: "Store") -> None:
    """People will be written to about what happens from now on, also where nobody ever was."""
    write_from_now_on(store, project.settings)


def finish(
    project: "Opened", store: "Store", pipelines: Sequence[str], *, was_interrupted: bool = False
) -> None:
    """Documents of these pipelines or of all, tables and people have the news.

    Nobody is written to for an interrupted command.
    """
    for name in pipelines or sorted(project.pipelines):
        write_progress(store, project.pipeline(name), project.actor())
    keep_all(store, file=str(project.file))
    if not was_interrupted:
        send_due(store, project.settings, settle_s=0.0)
