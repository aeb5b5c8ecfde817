"""Owns what an attempt occupies while it runs: a seat with its folders, a place with its streams.

Places are kept from one attempt to the next: an empty scratch and empty stream files serve again,
which spares most of the file system's work. A place whose scratch cannot be wiped is given up.
"""

import os
from collections.abc import Mapping, Sequence

from stoker.failpoints import hit
from stoker.model.pipeline import Step
from stoker.model.task import Claimed
from stoker.rights import PRIVATE, Rights
from stoker.spec import member_names
from stoker.work import member_lists
from stoker.work.capture import StreamFile
from stoker.work.member_lists import MembersOf
from stoker.work.outputs import OUT
from stoker.work.scratch import HIDDEN, WorkerFolder, is_pristine, make_scratch, wipe
from stoker.work.spawn import Launcher


class Seat:
    """The folders of one attempt: its scratch, and beside it the files in which it may answer."""

    def __init__(self, folder: str, *, rights: Rights = PRIVATE) -> None:
        self.folder = folder
        self.rights = rights
        self.scratch = os.path.join(folder, "scratch")
        self.values = os.path.join(folder, "values")
        self.reason = os.path.join(folder, "reason")
        self._lists = os.path.join(folder, member_names.FOLDER)
        self.beside: list[str] = []  # hidden folders on the targets' file systems
        self.is_ready = False  # the scratch was found empty since its last attempt
        self.is_used = False  # there is more to clean than the scratch
        self.has_lists = False  # of members
        rights.make_inner_folder(folder)
        self._identity = _identity(folder)

    def make_ready(self) -> None:
        """The scratch is there and empty. OSError if it cannot be."""
        if not self.is_ready:
            make_scratch(self.scratch, rights=self.rights)
        self.is_ready = self.is_used = False

    def make_outputs(
        self, step: Step, targets: Mapping[str, str], folder: WorkerFolder, mark: str
    ) -> dict[str, str]:
        """Return the path for each output that the tool writes to; the folders for them are there."""
        made: dict[str, str] = {}
        for output in step.outputs:
            if output.pick is not None:
                continue
            target = targets[output.name].rstrip("/")
            if output.stage_beside:
                parent = os.path.join(os.path.dirname(target), f"{HIDDEN}{mark}-{output.name}")
                folder.note_elsewhere(parent)
                self.beside.append(parent)
            else:
                parent = os.path.join(self.scratch, OUT, output.name)
            os.makedirs(parent, exist_ok=True)
            hit("output_folder_made")
            made[output.name] = os.path.join(parent, os.path.basename(target))
        return made

    def make_lists(
        self, claimed: Claimed, lists: Sequence[tuple[str, str]], members_of: MembersOf
    ) -> None:
        """Beside the scratch are the members of the group that its item stands for.

        UserError where they cannot be listed as the step wants it.
        """
        self.is_used = self.has_lists = True
        member_lists.write(
            members_of, claimed, lists, scratch=self.scratch, mode=self.rights.folder_mode
        )

    @property
    def folders(self) -> list[str]:
        """Where the attempt may put what it makes."""
        return [self.scratch, *self.beside]

    @property
    def is_pristine(self) -> bool:
        """Whether the scratch is empty and has the rights it was made with."""
        return is_pristine(self.scratch, rights=self.rights)

    @property
    def is_answered(self) -> bool:
        """Whether the attempt wrote values or a reason."""
        if os.path.lexists(self.values) or os.path.lexists(self.reason):
            self.is_used = True
        return self.is_used

    def clean(self, folder: WorkerFolder) -> bool:
        """Whether nothing of the attempt is left, so that the next may sit here.

        An attempt can put anything into these folders, and anything in their place. A seat whose own
        folder was replaced is given up: nothing below that path is known to be ours.
        """
        left: list[str] = []
        for path in self.beside:
            left += wipe(path)
            folder.forget_elsewhere()
        self.beside.clear()
        if _identity(self.folder) != self._identity:
            return False
        for path in (self.values, self.reason, *([self._lists] if self.has_lists else [])):
            left += wipe(path)
        self.has_lists = False
        if not self.is_pristine:
            left += wipe(self.scratch)
        return not left


def _identity(folder: str) -> tuple[int, int] | None:
    """Return what distinguishes this folder from one put in its place; None if it is gone."""
    try:
        found = os.lstat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Place:
    """Room for one attempt that is a process of its own."""

    def __init__(self, folder: str, *, rights: Rights = PRIVATE) -> None:
        self.seat = Seat(folder, rights=rights)
        self.stdout = StreamFile(os.path.join(folder, "stdout"), rights=rights)
        self.stderr = StreamFile(os.path.join(folder, "stderr"), rights=rights)
        self.launcher = Launcher()

    def close(self) -> None:
        """Give the descriptors back."""
        self.stdout.close()
        self.stderr.close()
        self.launcher.close()
