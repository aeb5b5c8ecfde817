"""A folder that a source follows: what is the same whether its files or its folders are the items."""

import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stoker.intake.admission import Admission
from stoker.intake.complete import Completeness
from stoker.intake.names import Names
from stoker.intake.notices import Notices
from stoker.intake.pending_notices import PendingNotices
from stoker.intake.pushed import Listing
from stoker.intake.seen_files import FolderLooks, now_us
from stoker.intake.settle import overdue_in_words
from stoker.intake.sources.source import Standing
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.source import Source as Declared
from stoker.spec.file_systems import may_be_shared

if TYPE_CHECKING:
    from stoker.store.unit import Store

_SHOWN = 5


class FollowedFolder:
    """The declared folder with the rules for names in it, and the kernel's notices of it.

    Without `is_staying` it is only looked at, a few times, by a run.
    """

    def __init__(
        self,
        store: "Store",
        pipeline: Pipeline,
        declared: Declared,
        *,
        project_folder: str,
        is_staying: bool,
    ) -> None:
        self.store = store
        self.pipeline = pipeline
        self.declared = declared
        self.is_staying = is_staying
        self.root = (declared.folder or "").rstrip("/") or "/"
        self.is_shared = may_be_shared(self.root)  # other hosts may write there unnoticed
        checksum = pipeline.rules.checksum if pipeline.items is not ItemKind.FOLDERS else None
        self.names = Names(declared, checksum=checksum, project_folder=project_folder)
        self.listing = Listing(
            pipeline,
            project_folder=project_folder,
            refuse=lambda _message: None,
            priority=pipeline.priority,
        )
        self.completeness = Completeness(declared)
        self.admission = Admission(pipeline)
        self.notices = PendingNotices(
            Notices(os.fsencode(self.root)) if is_staying else None,
            self.names,
            by_folder=bool(declared.parts),
        )

    def standing(
        self, looks: Iterable[FolderLooks], troubles: Sequence[str], lacking: Sequence[str]
    ) -> Standing:
        """Return how it stands after a look: what is pending and for how long, and what went wrong.

        `lacking` says of what has settled what it lacks to be complete.
        """
        several = list(looks)
        pending = sum(map(len, several))
        pending_for_s = None
        if pending:
            oldest_us = min(one.oldest_us() for one in several)
            pending_for_s = max(0.0, (now_us() - oldest_us) / 1e6)
        said = list(troubles)
        if pending_for_s is not None and pending_for_s >= self.declared.overdue_s:
            said += [overdue_in_words(pending_for_s), *lacking[:_SHOWN]]
        elif not self.is_staying and all(math.isinf(one.due_us) for one in several):
            pending = 0  # what is left lacks something that no waiting brings
            said += lacking[:_SHOWN]
        return Standing(pending, pending_for_s, "\n".join(said) or None)

    def close(self) -> None:
        """Let go of the kernel's notices, and of the process that reads headers."""
        self.notices.close()
        self.admission.close()
