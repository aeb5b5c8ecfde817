"""A project on the disk whose sources are looked at here, in this process, as often as a test wants."""

import time

import pytest
from sqlalchemy import select

from stoker.intake.register_found import Taker
from stoker.intake.sources.kinds import make_source
from stoker.project import open_project
from stoker.store import tables
from stoker.store.actor import Actor

ME = Actor("tester")

LIMIT_S = 60.0


class Yard:
    """A project; `take` looks at its one source, whose settings are those of a test."""

    def __init__(self, folder):
        self.folder = folder
        self.incoming = folder / "incoming"
        self.incoming.mkdir()
        self.project = None
        self.taker = None

    def declare(self, source="", pipeline="", steps=""):
        """Write the file; `source` and `pipeline` are further keys."""
        text = f"""
            [pipelines.p]
            {pipeline}
            [pipelines.p.sources.incoming]
            folder = "incoming"
            {source}
            {steps or "[pipelines.p.steps.s]" + chr(10) + "run = 'true'"}
        """
        (self.folder / "stoker.toml").write_text(text)
        self.close()
        self.project = open_project(self.folder)
        self.project.apply()
        return self.begin()

    def begin(self):
        """Forget what only a process knows, as after a restart."""
        if self.taker is not None:
            self.taker.source.close()
        pipeline = self.project.pipeline("p")
        source = make_source(
            self.project.store, pipeline, pipeline.sources[0], project_folder=str(self.folder)
        )
        self.taker = Taker(
            self.project.store, "p", source, ME, max_open=pipeline.sources[0].max_open
        )
        return self

    @property
    def source(self):
        return self.taker.source

    def take(self):
        return self.taker.take()

    def take_until(self, condition):
        """Look again and again until the condition holds; return what was taken in all."""
        until_s = time.monotonic() + LIMIT_S
        taken = 0
        while not condition():
            assert time.monotonic() < until_s, (self.rows(), self.source.standing.trouble)
            done = self.take()
            taken += done.registered + done.changed
            time.sleep(0.02)
        return taken

    def rows(self):
        """Return the items by their keys."""
        with self.project.store.reading() as unit:
            return {row.key: row for row in unit.execute(select(tables.item))}

    def keys(self):
        return sorted(self.rows())

    def about(self):
        """Return the source's row."""
        with self.project.store.reading() as unit:
            return unit.execute(select(tables.source)).one()

    def close(self):
        if self.taker is not None:
            self.taker.source.close()
            self.taker = None
        if self.project is not None:
            self.project.close()


@pytest.fixture
def yard(tmp_path):
    made = Yard(tmp_path)
    yield made
    made.close()
