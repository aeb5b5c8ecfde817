"""A project in a temporary folder, and the real `stoker` to run in it."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.cli.forker import Forker
from integration.cli.schemas import validate_output

STOKER = str(Path(sys.executable).with_name("stoker"))

COUNT = """
[project]
name = "lab"

[pools]
ram = 2

[pipelines.count]

[pipelines.count.params]
gain = { type = "number", default = 1.0, minimum = 0 }

[pipelines.count.sources.data]
folder = "data"
glob = "**/*.txt"
settle = "0s"

[pipelines.count.steps.lines]
run = '''
if grep -q broken {item}; then echo "ValueError: line 7 is broken" >&2; exit 3; fi
wc -l < {item} > {out.lines}
echo "counted {name}"
'''
outputs.lines = "results/{key}.lines"
[[pipelines.count.steps.lines.causes]]
match = "line \\\\d+ is broken"
say = "the file was damaged"
do = "copy it again"

[pipelines.count.steps.text]
run = "echo gain {params.gain}: $(cat {in.lines.lines}) > {out.text}"
outputs.text = "results/{key}.said"
"""


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def rows(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self):
        return json.loads(self.out)


class Lab:
    def __init__(self, folder: Path, forker: Forker) -> None:
        self.folder = folder
        self._forker = forker
        self._streams = folder.parent / f"{folder.name}-streams"
        self._streams.mkdir()

    def __call__(
        self, *arguments, given=None, code=0, cwd=None, account=None, umask=0o022, **environment
    ) -> Ended:
        """Run `stoker` with these arguments, and hold that it ends with `code`."""
        paths = [self._streams / name for name in ("in", "out", "err")]
        paths[0].write_bytes(given or b"")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("STOKER")}
        found = self._forker.run(
            arguments,
            folder=cwd or self.folder,
            environment=kept | environment,
            given=paths[0],
            out=paths[1],
            err=paths[2],
            account=account,
            umask=umask,
        )
        ended = Ended(found, *(os.fsdecode(path.read_bytes()) for path in paths[1:]))
        assert ended.code == code, f"{ended.code}\n{ended.out}\n{ended.err}"
        assert "Traceback" not in ended.err, ended.err
        if "--json" in arguments and ended.out:
            validate_output(arguments, ended.out)
        return ended

    def write(self, name, text="one\ntwo\n") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture(scope="session")
def forker():
    started = Forker()
    yield started
    started.close()


@pytest.fixture
def lab(tmp_path, forker) -> Lab:
    """A project of two steps, with nothing in it yet."""
    folder = tmp_path / "lab"
    (folder / "data").mkdir(parents=True)
    (folder / "stoker.toml").write_text(COUNT)
    return Lab(folder, forker)


@pytest.fixture
def pushed(lab) -> Lab:
    """Three files registered: two good ones, one that fails."""
    for name in ("a", "b"):
        lab.write(f"data/{name}.txt")
    lab.write("data/c.txt", "broken\n")
    lab("push", "count", "data")
    return lab


@pytest.fixture
def run(pushed) -> Lab:
    """The three files worked on."""
    pushed("run", code=1)
    return pushed
