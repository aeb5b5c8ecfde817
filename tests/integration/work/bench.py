"""What tests of publishing work on: a scratch, a folder for results, and a store in a set."""

import shutil
from pathlib import Path

from stoker.errors import OutputConflict, StaleAttempt
from stoker.model.pipeline import Argv, Output, Step
from stoker.model.task import Content
from stoker.work.outputs import OUT, find_pieces
from stoker.work.publish import publish
from stoker.work.scratch import HIDDEN, Owner, WorkerFolder, boot_id


class Bench:
    """A scratch, a folder for results, and a store that remembers who owns which path."""

    def __init__(self, tmp_path: Path, results: Path) -> None:
        self.scratch = tmp_path / "scratch"
        self.scratch.mkdir()
        self.results = results
        owner = Owner(host="h", boot_id=boot_id(), pid=1, started=1, worker=1, store="s")
        self.folder = WorkerFolder(str(tmp_path / "root"), owner)
        self.owned: dict[str, tuple[Content, ...]] = {}
        self.is_held = True

    def out(self, name: str, target: str) -> Path:
        path = self.scratch / OUT / name / Path(target).name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, *outputs: Output):
        step = Step(name="s", action=Argv(words=("x",)), outputs=outputs)
        targets = {
            one.name: str(self.results / one.to) + ("/" if one.is_folder else "") for one in outputs
        }
        made = {
            one.name: str(self.out(one.name, targets[one.name].rstrip("/")))
            for one in outputs
            if one.pick is None
        }
        pieces = find_pieces(step, scratch=str(self.scratch), made=made, targets=targets)
        return publish(
            pieces,
            self.folder,
            self,
            own=[str(self.scratch)],
            permit=self.permit,
        )

    def permit(self) -> None:
        if not self.is_held:
            raise StaleAttempt("the lease has run out")

    def contents_of(self, paths):
        """As the store, whose every path is the task's."""
        return {path: self.owned[path] for path in paths if path in self.owned}

    def reserve(self, wanted):
        for one in wanted:
            if one.refusal:
                raise OutputConflict(one.refusal)
        for one in wanted:
            for name in one.names:
                self.owned[name] = (one.content, *((one.found,) if one.found else ()))

    def lose_scratch(self) -> None:
        shutil.rmtree(self.scratch)

    def hidden(self) -> list[Path]:
        return list(self.results.rglob(f"{HIDDEN}*"))
