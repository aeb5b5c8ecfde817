"""Outputs: found, checked, and put in place whole or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import xxhash

from integration.work.bench import Bench
from stoker.errors import OutputConflict, StaleAttempt
from stoker.model.pipeline import Output
from stoker.work import copying, placing
from stoker.work.measure import measure
from stoker.work.outputs import OutputError


@pytest.fixture(params=["rename", "copy", "no renameat2"])
def bench(request, tmp_path, monkeypatch):
    """On one file system, across two, and on one that knows no flags of rename."""
    if request.param == "copy":
        if not os.access("/dev/shm", os.W_OK):
            pytest.skip("no second file system")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            yield Bench(tmp_path, Path(name))
        return
    if request.param == "no renameat2":
        monkeypatch.setattr(placing, "_renameat2", _unknown)
    results = tmp_path / "results"
    results.mkdir()
    yield Bench(tmp_path, results)


def _unknown(*_):
    raise OSError(22, "Invalid argument")


def test_a_file_lies_at_its_path_with_size_and_checksum(bench):
    bench.out("a", "a.txt").write_bytes(b"content")
    (published,) = bench.publish(Output(name="a", to="deep/er/a.txt"))
    target = bench.results / "deep" / "er" / "a.txt"
    assert target.read_bytes() == b"content"
    assert published.path == str(target)
    assert published.size_bytes == 7
    assert published.checksum == "xxh3:" + xxhash.xxh3_128_hexdigest(b"content")
    assert bench.hidden() == []


def test_publishing_again_replaces_our_own(bench):
    for content in (b"one", b"two"):
        bench.out("a", "a.txt").write_bytes(content)
        bench.publish(Output(name="a", to="a.txt"))
    assert (bench.results / "a.txt").read_bytes() == b"two"


def test_a_file_of_somebody_else_is_never_replaced(bench):
    (bench.results / "a.txt").write_text("precious")
    bench.out("a", "a.txt").write_text("new")
    for _ in range(2):  # nor by trying again
        with pytest.raises(OutputConflict, match="did not write"):
            bench.publish(Output(name="a", to="a.txt"))
        assert (bench.results / "a.txt").read_text() == "precious"
    assert bench.hidden() == []


def test_a_dangling_link_of_somebody_else_is_not_replaced_either(bench):
    (bench.results / "a.txt").symlink_to("nowhere")
    bench.out("a", "a.txt").write_text("new")
    with pytest.raises(OutputConflict):
        bench.publish(Output(name="a", to="a.txt"))
    assert (bench.results / "a.txt").is_symlink()


def test_a_file_that_appears_in_between_is_not_replaced(bench, monkeypatch):
    bench.out("a", "a.txt").write_text("new")
    reserve = bench.reserve

    def and_then_somebody_writes(wanted):
        reserve(wanted)
        (bench.results / "a.txt").write_text("precious")

    monkeypatch.setattr(bench, "reserve", and_then_somebody_writes)
    with pytest.raises(OutputConflict):
        bench.publish(Output(name="a", to="a.txt"))
    assert (bench.results / "a.txt").read_text() == "precious"
    assert bench.hidden() == []


def test_overwrite_replaces_what_somebody_else_wrote(bench):
    (bench.results / "a.txt").write_text("old")
    bench.out("a", "a.txt").write_text("new")
    bench.publish(Output(name="a", to="a.txt", overwrite=True))
    assert (bench.results / "a.txt").read_text() == "new"


def test_a_folder_appears_as_a_whole_and_is_replaced_as_a_whole(bench):
    for names in (("one", "two"), ("two", "three")):
        made = bench.out("d", "tree")
        shutil.rmtree(made, ignore_errors=True)  # a copy leaves the original to the wipe
        (made / "sub").mkdir(parents=True)
        for name in names:
            (made / "sub" / name).write_text(name)
        (published,) = bench.publish(Output(name="d", to="tree/"))
    found = sorted(path.name for path in (bench.results / "tree" / "sub").iterdir())
    assert found == ["three", "two"]
    assert published.size_bytes == 8
    assert bench.hidden() == []


def test_picked_files_go_into_the_folder_under_their_own_names(bench):
    for name in ("a.klog", "b c.klog", "-x.klog", "new\nline.klog", "other"):
        (bench.scratch / name).write_text(name)
    published = bench.publish(Output(name="log", pick="*.klog", to="logs/"))
    assert len(published) == 4
    assert sorted(path.name for path in (bench.results / "logs").iterdir()) == [
        "-x.klog",
        "a.klog",
        "b c.klog",
        "new\nline.klog",
    ]


def test_a_picked_name_that_is_no_text_stays_as_it_is(bench):
    (bench.scratch / os.fsdecode(b"\xff.klog")).write_text("x")
    bench.publish(Output(name="log", pick="*.klog", to="logs/"))
    (found,) = (bench.results / "logs").iterdir()
    assert os.fsencode(found.name) == b"\xff.klog"


def test_one_name_for_two_picked_files_is_refused(bench):
    (bench.scratch / "a.klog").touch()
    (bench.scratch / "b.klog").touch()
    with pytest.raises(OutputError, match="matches 2 files"):
        bench.publish(Output(name="log", pick="*.klog", to="the.log"))
    assert list(bench.results.iterdir()) == []


def test_two_picked_files_of_one_name_are_refused(bench):
    for folder in ("a", "b"):
        (bench.scratch / folder).mkdir()
        (bench.scratch / folder / "x.klog").touch()
    with pytest.raises(OutputError, match=r"two files named `x\.klog`"):
        bench.publish(Output(name="log", pick="**/*.klog", to="logs/"))


def test_picking_everything_leaves_the_other_outputs_alone(bench):
    bench.out("a", "a.txt").write_text("x")
    (bench.scratch / "b.txt").write_text("x")
    published = bench.publish(Output(name="a", to="a.txt"), Output(name="p", pick="*", to="p/"))
    names = sorted(Path(one.path).name for one in published)
    assert names == ["a.txt", "b.txt"]


def test_a_pattern_that_leads_out_picks_nothing(bench):
    (bench.scratch.parent / "secret.klog").write_text("x")
    with pytest.raises(OutputError, match="nothing matches"):
        bench.publish(Output(name="log", pick="../*.klog", to="logs/"))


def test_a_missing_output_is_named_unless_it_is_optional(bench):
    bench.out("a", "a.txt")
    with pytest.raises(OutputError, match="output `a` was not made"):
        bench.publish(Output(name="a", to="a.txt"))
    assert bench.publish(Output(name="a", to="a.txt", optional=True)) == ()
    assert bench.publish(Output(name="p", pick="*.klog", to="p/", optional=True)) == ()


def test_a_link_within_the_scratch_is_published_as_what_it_leads_to(bench):
    (bench.scratch / "real").write_text("content")
    bench.out("a", "a.txt").symlink_to(bench.scratch / "real")
    bench.publish(Output(name="a", to="a.txt"))
    assert not (bench.results / "a.txt").is_symlink()
    assert (bench.results / "a.txt").read_text() == "content"


@pytest.mark.parametrize("to", ["/etc/passwd", "nowhere"])
def test_a_link_that_leads_out_is_refused(bench, to):
    bench.out("a", "a.txt").symlink_to(to)
    with pytest.raises(OutputError, match="leads out of the scratch"):
        bench.publish(Output(name="a", to="a.txt"))
    assert list(bench.results.iterdir()) == []


def test_a_pipe_is_no_output(bench):
    os.mkfifo(bench.out("a", "a.txt"))
    with pytest.raises(OutputError, match="neither a file nor a folder"):
        bench.publish(Output(name="a", to="a.txt"))


def test_a_place_that_is_a_folder_is_said_to_be_one(bench):
    (bench.results / "a.txt").mkdir()
    bench.out("a", "a.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(OutputConflict, match="exists, as a folder, and Stoker did not"):
            bench.publish(Output(name="a", to="a.txt", overwrite=overwrite))
    assert bench.hidden() == []


def test_a_file_where_a_folder_should_be_is_said_to_be_one(bench):
    (bench.results / "sub").write_text("a file")
    bench.out("a", "a.txt").write_text("x")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        bench.publish(Output(name="a", to="sub/a.txt"))
    assert (bench.results / "sub").read_text() == "a file"


def test_a_place_where_nobody_may_write_is_named(tmp_path):
    bench = Bench(tmp_path, Path("/proc/self"))
    bench.out("a", "a.txt").write_text("x")
    with pytest.raises(OutputError, match=r"cannot be published at `/proc/self/a\.txt`"):
        bench.publish(Output(name="a", to="a.txt"))


def test_a_full_disk_leaves_no_half_of_an_output(tmp_path, monkeypatch):
    def full(_source, target, _permit):
        Path(target).write_bytes(b"hal")
        raise OSError(28, "No space left on device")

    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        bench = Bench(tmp_path, Path(name))
        bench.out("a", "a.txt").write_text("half of this")
        monkeypatch.setattr(copying, "copy_file", full)
        with pytest.raises(OutputError, match="No space left on device"):
            bench.publish(Output(name="a", to="a.txt"))
        assert list(bench.results.iterdir()) == []


def test_nothing_is_put_in_place_once_the_lease_has_run_out(bench):
    bench.out("a", "a.txt").write_text("of the successor")
    bench.publish(Output(name="a", to="a.txt"))
    bench.out("a", "a.txt").write_text("late")
    bench.is_held = False
    with pytest.raises(StaleAttempt):
        bench.publish(Output(name="a", to="a.txt"))
    assert (bench.results / "a.txt").read_text() == "of the successor"
    assert bench.hidden() == []


def test_a_folders_checksum_is_of_names_and_contents(tmp_path):
    def tree(name: str, **files: str) -> str:
        folder = tmp_path / name
        (folder / "empty").mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_text(content)
        return measure(str(folder)).checksum

    assert tree("one", a="x", b="y") == tree("two", b="y", a="x")
    assert tree("three", a="y", b="x") != tree("four", a="x", b="y")
    assert tree("five", a="xy") != tree("six", a="x", b="y")
