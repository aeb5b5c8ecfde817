"""What `work` reads of the file is what the full check makes of it, and pipelines do not matter."""

import subprocess
import sys
from dataclasses import replace

import pytest

from stoker.errors import NotFound, SpecError
from stoker.model.settings import Settings, WorkerSettings
from stoker.spec import worker_settings as module
from stoker.spec.load import load_project
from stoker.spec.worker_settings import worker_settings

PLAIN = [
    "",
    '[project]\nname = "lab"\n',
    '[store]\nurl = "postgresql+psycopg://me:${PW}@db/lab"\npassword_file = "~/pw"\n',
    '[store]\nurl = "sqlite:///here.db"\naccess = "group"\n',
    '[worker]\nscratch = "tmp/x/../y"\ntags = ["gpu", "big", "gpu"]\ncpus = 4\nmemory = "12.5G"\n',
    '[worker.hosts."node*"]\nmemory = 1048576\ntags = []\n[worker.hosts.b]\ncpus = 1\n',
]
BROKEN = [
    ("[project]\nname = 3\n", "`project.name` must be a text"),
    ('[project]\nname = ""\n', "`project.name` is empty"),
    ('[store]\nurl = "mysql://x"\n', "of no database"),
    ('[store]\naccess = "world"\n', "`store.access`"),
    ('[store]\nurls = "sqlite:///x"\n', "no key `urls`"),
    ('store = "sqlite:///x"\n', "`store` must be a table"),
    ("worker = 1\n", "`worker` must be a table"),
    ("[worker]\ncpus = 0\n", "`worker.cpus` must be at least 1"),
    ("[worker]\ncpus = true\n", "`worker.cpus` must be a whole number"),
    ('[worker]\ntags = ["Gpu"]\n', "`worker.tags[0]`"),
    ('[worker]\ntags = "gpu"\n', "`worker.tags` must be a list"),
    ('[worker]\nmemory = "much"\n', "is not a size"),
    ('[worker]\nscratch = "a\\u0000b"\n', "NUL character"),
    ("[worker]\nslots = 3\n", "no key `slots`"),
    ("[worker.hosts]\na = 3\n", "`worker.hosts.a` must be a table"),
    ("[worker.hosts.a]\ncpus = -1\n", "`worker.hosts.a.cpus`"),
    ("[worker\n", "not TOML"),
]


def written(folder, text):
    file = folder / "stoker.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("text", PLAIN)
def test_plain_settings_are_those_of_the_full_check(tmp_path, monkeypatch, text):
    file = written(tmp_path, text)
    monkeypatch.setattr(module, "_checked", lambda _: pytest.fail("it was not read plainly"))
    assert worker_settings(file) == load_project(file).settings


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_mistakes_in_settings_are_errors(tmp_path, text, said):
    with pytest.raises(SpecError) as caught:
        worker_settings(written(tmp_path, text))
    assert any(said in str(problem) for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("more", ["", 'scratch = ""\n'], ids=["plain", "fully checked"])
def test_mistakes_elsewhere_do_not_matter_to_a_worker(tmp_path, more):
    text = (
        f"[worker]\ncpus = 2\n{more}"
        '[pools]\nx = "many"\n[shares]\nby = "nobody"\nodd = 1\n'
        '[pipelines.P.steps.s]\nrun = "{nothing}"\nrum = 1\n'
    )
    found = worker_settings(written(tmp_path, text))
    assert found.worker.cpus == 2
    assert replace(found, worker=WorkerSettings()) == Settings(
        name=tmp_path.name,
        folder=str(tmp_path),
        store_url=f"sqlite:///{tmp_path}/.stoker/stoker.db",
    )


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"stoker\.toml"):
        worker_settings(tmp_path / "stoker.toml")


def test_what_is_plain_is_read_without_slow_libraries(tmp_path):
    file = written(tmp_path, "".join(sorted(PLAIN)[-1:]))
    code = (
        "import sys; from pathlib import Path; "
        "from stoker.spec.worker_settings import worker_settings; "
        f"worker_settings(Path({str(file)!r})); "
        "sys.exit(bool({'pydantic', 'tree_sitter'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
