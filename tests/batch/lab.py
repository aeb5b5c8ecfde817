"""A project on a database server that batch jobs can work on, and its command line."""

import subprocess
import sys
from pathlib import Path

from docs.test_tutorial import environment
from stoker import open as open_project
from stoker.project import Project


class Lab:
    """A project with one pipeline `p` of records, with these steps."""

    def __init__(self, folder: Path, steps: str, url: str, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = environment(folder) | env
        items = '[pipelines.p]\nitems = "records"\n'
        (folder / "stoker.toml").write_text(f'[store]\nurl = "{url}"\n{items}{steps}')
        self.stoker("store", "create")
        self.stoker("apply")

    def stoker(self, *arguments: str, code: int | None = 0) -> str:
        """What the command prints on both outputs."""
        done = subprocess.run(
            [Path(sys.executable).parent / "stoker", *arguments], cwd=self.folder, env=self.env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert code in (None, done.returncode), done.stdout
        return done.stdout

    def push(self, n: int) -> None:
        """So many records are items."""
        self.stoker("push", "p", *(f"k{number:04}" for number in range(n)))

    def project(self) -> Project:
        """The project, opened."""
        return open_project(self.folder)

    def states(self) -> dict[str, int]:
        """How many tasks are in which state."""
        with self.project() as project:
            tasks = project.status().pipelines["p"].tasks
        return {word: n for word, n in tasks.items() if n}

    def work(self, *options: str) -> str:
        """The text of a job that is a worker."""
        words = " ".join(options)
        return f"cd {self.folder}; exec {Path(sys.executable).parent}/stoker work {words}"
