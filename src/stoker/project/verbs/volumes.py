"""The verbs of a project on archive volumes, reached as `project.volumes`."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stoker.model.item import key_from_name
from stoker.volumes.catalogue import INDEX, is_index
from stoker.volumes.locate import Located, locate

if TYPE_CHECKING:
    from stoker.project.opened import Opened
    from stoker.store.groups.volume_search import VolumeToSearch


class Volumes:
    """What can be asked of the volumes that pipelines of groups have filled."""

    def __init__(self, project: "Opened") -> None:
        self._project = project
        self.lost: list[str] = []  # volumes that were asked for, and whose index is not there

    def locate(self, names: Sequence[str], *, pipeline: str | None = None) -> Iterator[Located]:
        """Yield where these keys or files are, volume after volume in the order of reading.

        From the indexes that the volumes' steps published. `lost` then names the volumes without one.
        """
        from stoker.store.groups.volume_search import volumes_to_search

        wanted = names_wanted(names)
        self.lost = []
        for one in volumes_to_search(self._project.store, sorted(wanted), pipeline=pipeline):
            index = _index_of(one)
            if index is None:
                self.lost.append(one.volume)
            else:
                yield from locate([(index, one.superseded)], wanted)


def names_wanted(names: Sequence[str]) -> set[str]:
    """Return the keys and absolute paths that these words may mean."""
    keys = {key_from_name(name) for name in names}
    return keys | {os.path.abspath(name) for name in names if name}


def _index_of(volume: "VolumeToSearch") -> str | None:
    """Return the index of the volume: an output of its own, or in a folder with its blocks."""
    for path in volume.outputs:
        if is_index(path):
            return path
    for path in volume.outputs:
        if os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                inside = os.path.join(path, name)
                if name.endswith(INDEX) and is_index(inside):
                    return inside
    return None
