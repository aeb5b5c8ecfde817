"""Jobs that clients ask for: registered with files of their own, within the limits of the client."""

import os
import threading
from pathlib import Path

import pytest

from stoker.errors import LimitReached, UserError
from stoker.project import Project
from stoker.project.jobs.acceptance import Acceptance, Wanted
from stoker.project.jobs.job_files import JobFiles, safe_name
from stoker.project.jobs.validation import GivenFile, InvalidRequest
from stoker.spec.params import BadValue
from stoker.store.arrivals import submissions
from stoker.store.arrivals.submissions import Client

LAB = """
[pipelines.files]
params.n = { type = "integer", default = 1, minimum = 1 }
params.more = { type = "path" }
params.list = { type = "list", items = "path", default = [] }
steps.s.run = "cat {item}"
[pipelines.records]
items = "records"
params.n = { type = "integer", default = 1, minimum = 1 }
steps.s.run = "true"
"""


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "stoker.toml").write_text(LAB)
    uploads = tmp_path / "elsewhere"
    uploads.mkdir()
    (uploads / "x").write_bytes(b"content")
    with Project(tmp_path / "stoker.toml") as project:
        project.apply()
        yield project


def find(folder):
    def found(_place, value):
        path = Path(folder, "elsewhere", "x")
        if not isinstance(value, str) or value == "none":
            raise BadValue("is no upload", rule="upload")
        return GivenFile(path=str(path), name=value, size_bytes=path.stat().st_size)

    return found


def accepting(lab, pipeline="records", client=None):
    of = lab.pipeline(pipeline)
    return Acceptance(lab, of, client=client, find_file=find(lab.file.parent))


def test_a_job_is_registered_with_files_of_its_own(lab):
    inputs = {"item": "a b.fa", "more": "m", "list": ["l", "l"], "n": 3}
    key = accepting(lab, "files").one(Wanted(inputs=inputs, priority=7, meta={"x": 1}))
    (row,) = lab.items()
    folder = JobFiles(lab.settings, lab.store).folder
    assert (row.item, row.priority, row.meta) == (key, 7, {"x": 1})
    assert row.path == f"{folder}/{key}/item/a b.fa"
    assert row.params == {
        "n": 3,
        "more": f"{folder}/{key}/more/m",
        "list": [f"{folder}/{key}/list/0/l", f"{folder}/{key}/list/1/l"],
    }
    assert Path(row.path).read_bytes() == b"content"
    assert os.stat(row.path).st_nlink == 5  # no second copy
    assert os.stat(folder).st_mode & 0o077 == 0


def test_one_upload_makes_many_jobs(lab):
    keys = {accepting(lab, "files").one(Wanted(inputs={"item": "x"})) for _ in range(3)}
    assert {row.item for row in lab.items()} == keys
    assert len(keys) == 3


def test_an_invalid_request_leaves_nothing(lab):
    with pytest.raises(InvalidRequest):
        accepting(lab, "files").one(Wanted(inputs={"item": "x", "n": 0}))
    assert lab.items() == []
    assert not os.path.exists(JobFiles(lab.settings, lab.store).folder)


def test_a_crash_while_registering_leaves_no_file(lab, monkeypatch):
    def broken(*_args, **_more):
        raise RuntimeError

    monkeypatch.setattr("stoker.store.arrivals.submit.submit", broken)
    with pytest.raises(RuntimeError):
        accepting(lab, "files").one(Wanted(inputs={"item": "x"}))
    assert os.listdir(JobFiles(lab.settings, lab.store).folder) == []


def test_many_at_once_row_by_row_or_all_or_none(lab):
    wanted = [Wanted(inputs={"n": n}) for n in (1, 0, 2, "x")]
    found = accepting(lab).many(wanted)
    assert [one.key is not None for one in found] == [True, False, True, False]
    assert [[error.rule for error in one.errors] for one in found] == [
        [],
        ["minimum"],
        [],
        ["type"],
    ]
    assert {row.item for row in lab.items()} == {one.key for one in found if one.key}
    found = accepting(lab).many(wanted, atomic=True)
    assert [one.key for one in found] == [None] * 4
    assert len(lab.items()) == 2
    assert len(accepting(lab).many(wanted[::2], atomic=True)) == 2
    assert len(lab.items()) == 4
    with pytest.raises(UserError, match="at most 2,000"):
        accepting(lab).many([Wanted(inputs={})] * 2_001)


# ----------------------------------------------------------------------------------------- limits


def test_a_client_has_so_many_open_items(lab):
    client = Client(name="address:1.2.3.4", max_open=2)
    keys = [accepting(lab, client=client).one(Wanted(inputs={})) for _ in range(2)]
    with pytest.raises(LimitReached, match="this one has 2"):
        accepting(lab, client=client).one(Wanted(inputs={}))
    with pytest.raises(LimitReached):
        accepting(lab, client=client).many([Wanted(inputs={})])
    assert len(lab.items()) == 2
    accepting(lab, client=Client(name="address:1.2.3.5", max_open=2)).one(Wanted(inputs={}))
    accepting(lab, "files", client=client).one(Wanted(inputs={"item": "x"}))  # each pipeline counts
    lab.cancel(keys[0])
    lab.status()  # brings the states of items up to date
    accepting(lab, client=client).one(Wanted(inputs={}))
    with pytest.raises(LimitReached):
        accepting(lab, client=client).one(Wanted(inputs={}))


def test_a_client_may_submit_so_many_in_a_minute(lab, monkeypatch):
    client = Client(name="token:robot", per_minute=3)
    for _ in range(3):
        accepting(lab, client=client).one(Wanted(inputs={}))
    with pytest.raises(LimitReached) as caught:
        accepting(lab, client=client).one(Wanted(inputs={}))
    assert 15 < caught.value.after_s <= 20
    with lab.store.writing() as unit:
        table = submissions.submission_tables.client
        unit.execute(table.update().values(at_us=table.c.at_us - 21_000_000))
    accepting(lab, client=client).one(Wanted(inputs={}))
    with pytest.raises(LimitReached):
        accepting(lab, client=client).one(Wanted(inputs={}))
    with pytest.raises(LimitReached, match="send fewer"):
        accepting(lab, client=client).many([Wanted(inputs={})] * 4)


def test_limits_hold_however_many_ask_at_once(lab):
    client = Client(name="address:1.2.3.4", max_open=5, per_minute=100)
    found = []

    def submit():
        try:
            found.append(accepting(lab, client=client).one(Wanted(inputs={})))
        except LimitReached:
            found.append(None)

    threads = [threading.Thread(target=submit) for _ in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (len(found), len([one for one in found if one])) == (12, 5)
    assert len(lab.items()) == 5


# ------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.fa", "a.fa"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..", "_.."),
        (".", "_."),
        ("", "file"),
        ("a/", "file"),
        ("-rf", "_-rf"),
        (".hidden", "_.hidden"),
        ("a\0b\nc", "a_b_c"),
        ("ü $(x) '\"`.txt", "ü $(x) '\"`.txt"),
        ("x" * 500 + ".fasta", "x" * 194 + ".fasta"),
        ("\ud800.txt", "?.txt"),
    ],
)
def test_a_client_s_name_for_a_file_does_no_harm(name, safe):
    assert safe_name(name) == safe
    assert len(safe.encode()) <= 200


def test_a_long_name_of_many_bytes_is_cut_between_letters():
    made = safe_name("ü" * 300)
    assert 190 < len(made.encode()) <= 200
    assert set(made) == {"ü"}
