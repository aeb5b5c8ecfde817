"""What is at a published path is replaced if Stoker published it, and nothing else is."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from integration.work.bench import Bench
from stoker.errors import OutputConflict
from stoker.model.pipeline import Output
from stoker.work import placing, publish
from stoker.work.measure import measure
from stoker.work.outputs import OutputError

FILE, FOLDER = Output(name="a", to="a.txt"), Output(name="d", to="tree/")


@pytest.fixture(params=["rename", "copy", "no renameat2"])
def bench(request, tmp_path, monkeypatch):
    """On one file system, across two, and on one that knows no flags of rename."""
    if request.param == "copy":
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            yield Bench(tmp_path, Path(name))
        return
    if request.param == "no renameat2":
        monkeypatch.setattr(placing, "_renameat2", _unknown)
    (tmp_path / "results").mkdir()
    yield Bench(tmp_path, tmp_path / "results")


def _unknown(*_):
    raise OSError(22, "Invalid argument")


def publish_file(bench, content, output=FILE):
    bench.out("a", "a.txt").write_text(content)
    bench.publish(output)


def publish_folder(bench, output=FOLDER, **files):
    made = bench.out("d", "tree")
    shutil.rmtree(made, ignore_errors=True)
    (made / "sub").mkdir(parents=True)
    for name, content in files.items():
        (made / "sub" / name).write_text(content)
    bench.publish(output)


def held(bench) -> dict[str, str]:
    """All files of the results, with their contents."""
    return {
        str(path.relative_to(bench.results)): path.read_text()
        for path in sorted(bench.results.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("mine"),
        lambda path: path.write_text("owt"),  # of the same size
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
    ],
    ids=["longer", "as long", "link", "folder", "pipe"],
)
def test_a_published_file_that_somebody_changed_is_theirs(bench, change):
    publish_file(bench, "one")
    change(bench.results / "a.txt")
    before = (os.lstat(bench.results / "a.txt").st_mode, held(bench))
    for _ in range(2):
        with pytest.raises(OutputConflict, match=r"a\.txt`"):
            publish_file(bench, "two")
    assert (os.lstat(bench.results / "a.txt").st_mode, held(bench)) == before
    assert bench.hidden() == []


def test_what_was_only_touched_or_deleted_is_made_again(bench):
    publish_file(bench, "one")
    os.utime(bench.results / "a.txt", (1, 1))
    publish_file(bench, "two")
    (bench.results / "a.txt").unlink()
    publish_file(bench, "three")
    assert held(bench) == {"a.txt": "three"}


def test_in_a_published_folder_what_somebody_put_there_is_theirs(bench):
    publish_folder(bench, one="1")
    for name in ("tree/notes.txt", "tree/sub/one", "tree/new/deep"):
        path = bench.results / name
        path.parent.mkdir(exist_ok=True)
        before = path.read_text() if path.exists() else None
        path.write_text("mine")
        with pytest.raises(OutputConflict, match=name.removeprefix("tree/").partition("/")[0]):
            publish_folder(bench, two="2")
        assert held(bench) == {"tree/sub/one": "1"} | {name: "mine"}
        assert bench.hidden() == []
        path.unlink() if before is None else path.write_text(before)
        if name.startswith("tree/new"):
            path.parent.rmdir()
    publish_folder(bench, two="2")
    assert held(bench) == {"tree/sub/two": "2"}


def test_a_folder_of_which_somebody_deleted_a_part_is_made_again(bench):
    publish_folder(bench, one="1", two="2")
    (bench.results / "tree" / "sub" / "one").unlink()
    publish_folder(bench, three="3")
    assert held(bench) == {"tree/sub/three": "3"}


@pytest.mark.parametrize("output", [FILE, FOLDER])
def test_what_an_attempt_published_before_it_died_is_the_tasks_own(bench, monkeypatch, output):
    """It had reserved the path, and moved its output there; nobody recorded its end."""
    act = (
        publish_file if output is FILE else lambda bench, content: publish_folder(bench, f=content)
    )
    act(bench, "one")
    monkeypatch.setattr(publish, "hit", _die)
    with pytest.raises(ZeroDivisionError):
        act(bench, "two")
    monkeypatch.undo()
    assert "two" in held(bench).values()
    act(bench, "three")
    assert list(held(bench).values()) == ["three"]


def _die(point):
    if point == "published":
        raise ZeroDivisionError


@pytest.mark.parametrize("output", [FILE, FOLDER])
def test_a_reserved_path_at_which_nothing_was_published_is_nobodys(bench, monkeypatch, output):
    act = (
        publish_file if output is FILE else lambda bench, content: publish_folder(bench, f=content)
    )

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(publish, "place", full)
        with pytest.raises(OutputError, match="No space"):
            act(bench, "one")
    path = bench.results / output.to
    if output is FILE:
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "notes").write_text("mine")
    with pytest.raises(OutputConflict):
        act(bench, "two")
    assert list(held(bench).values()) == ["mine"]


def test_overwrite_replaces_files_of_the_same_names_and_deletes_no_others(bench):
    output = Output(name="d", to="tree/", overwrite=True)
    (bench.results / "tree" / "sub").mkdir(parents=True)
    (bench.results / "tree" / "sub" / "one").write_text("mine")
    publish_folder(bench, output, one="1")
    assert held(bench) == {"tree/sub/one": "1"}
    (bench.results / "tree" / "notes.txt").write_text("mine")
    with pytest.raises(OutputConflict, match=r"notes\.txt"):
        publish_folder(bench, output, two="2")
    assert held(bench) == {"tree/sub/one": "1", "tree/notes.txt": "mine"}


def test_what_appears_while_a_folder_is_replaced_is_kept(bench, monkeypatch):
    publish_folder(bench, one="1")
    reserve = bench.reserve

    def and_then_somebody_writes(wanted):
        reserve(wanted)
        (bench.results / "tree" / "notes.txt").write_text("mine")

    monkeypatch.setattr(bench, "reserve", and_then_somebody_writes)
    with pytest.raises(OutputConflict, match="written by somebody else"):
        publish_folder(bench, two="2")
    assert held(bench) == {"tree/sub/one": "1", "tree/notes.txt": "mine"}
    assert bench.hidden() == []


@pytest.mark.parametrize("moved", [False, True], ids=["config", "results"])
def test_paths_through_links_are_one_path(bench, moved):
    """The step's path goes through a link, from the beginning or since the results were moved."""
    (bench.results / "real").mkdir()
    link = bench.results / "link"
    if moved:
        publish_file(bench, "one", Output(name="a", to="real/a.txt"))
        (bench.results / "real").rename(link)
        (bench.results / "real").symlink_to("link")
        publish_file(bench, "two", Output(name="a", to="real/a.txt"))
    else:
        link.symlink_to("real")
        publish_file(bench, "one", Output(name="a", to="link/a.txt"))
        publish_file(bench, "two", Output(name="a", to="real/a.txt"))
    assert (link / "a.txt").read_text() == "two"
    assert {os.path.realpath(name) for name in bench.owned} == {os.path.realpath(link / "a.txt")}
    for name in "ab":
        bench.out(name, "a.txt").write_text("x")
    with pytest.raises(OutputError, match="would both be"):
        bench.publish(Output(name="a", to="link/a.txt"), Output(name="b", to="real/a.txt"))


def test_a_folder_of_a_thousand_files_takes_little_to_know(tmp_path):
    for number in range(1_000):
        (tmp_path / str(number)).write_text(str(number))
    assert len(measure(str(tmp_path)).parts) == 8_000
