"""What is in outputs: links, files with other names, special files, rights."""

import os
import socket
import stat
import tempfile
import threading
import time
from pathlib import Path

import pytest

from integration.work.bench import Bench
from stoker.model.pipeline import Output
from stoker.work.measure import measure
from stoker.work.outputs import OutputError
from stoker.work.tree import Settling

FOLDER = Output(name="d", to="tree/")


@pytest.fixture(params=["rename", "copy"])
def bench(request, tmp_path):
    """On one file system, and across two."""
    if request.param == "rename":
        (tmp_path / "results").mkdir()
        yield Bench(tmp_path, tmp_path / "results")
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Bench(tmp_path, Path(name))


@pytest.fixture
def tree(bench):
    """The folder that the attempt makes as its output `d`."""
    made = bench.out("d", "tree")
    made.mkdir()
    return made


def publish(bench):
    """Publish the folder, lose the scratch, and return the folder and its record."""
    (published,) = bench.publish(FOLDER)
    bench.lose_scratch()
    target = bench.results / "tree"
    there = measure(str(target))
    assert (there.size_bytes, there.checksum) == (published.size_bytes, published.checksum)
    assert bench.hidden() == []
    return target, published


def test_a_link_to_a_file_of_the_scratch_becomes_its_content(bench, tree):
    (bench.scratch / "big.dat").write_text("precious")
    (tree / "big.dat").symlink_to(bench.scratch / "big.dat")
    (tree / "again").symlink_to("../../../big.dat")
    target, published = publish(bench)
    for name in ("big.dat", "again"):
        assert (target / name).read_text() == "precious"
        assert not (target / name).is_symlink()
    assert published.size_bytes == 16


def test_a_link_to_a_folder_of_the_scratch_becomes_that_folder(bench, tree):
    inner = bench.scratch / "frames" / "one"
    inner.mkdir(parents=True)
    (inner / "f").write_text("x")
    (inner / "back").symlink_to("../one/f")
    (inner / "up").symlink_to(bench.scratch / "frames")
    (bench.scratch / "other").write_text("y")
    (inner / "out").symlink_to(bench.scratch / "other")
    (tree / "sub").mkdir()
    (tree / "sub" / "frames").symlink_to(bench.scratch / "frames")
    target, _ = publish(bench)
    one = target / "sub" / "frames" / "one"
    assert (one / "f").read_text() == "x"
    assert os.readlink(one / "back") == "f"
    assert os.readlink(one / "up") == ".."
    assert (one / "out").read_text() == "y"
    assert not (target / "sub" / "frames").is_symlink()


def test_a_link_that_stays_inside_is_kept_and_made_relative(bench, tree):
    (tree / "a").mkdir()
    (tree / "a" / "f").write_text("x")
    (tree / "abs").symlink_to(tree / "a" / "f")
    (tree / "rel").symlink_to("a/f")
    (tree / "a" / "up").symlink_to("../rel")
    (tree / "a" / "self").symlink_to(tree)
    (tree / "round").symlink_to("a/../a")
    target, _ = publish(bench)
    links = {name: os.readlink(target / name) for name in ("abs", "rel", "a/up", "a/self", "round")}
    assert links == {"abs": "a/f", "rel": "a/f", "a/up": "../rel", "a/self": "..", "round": "a"}
    assert (target / "a" / "up").read_text() == "x"


def test_links_to_links_lead_to_the_content(bench, tree):
    (bench.scratch / "big").write_text("x")
    (bench.scratch / "one").symlink_to("big")
    (tree / "two").symlink_to(bench.scratch / "one")
    (tree / "three").symlink_to("two")
    target, _ = publish(bench)
    assert (target / "two").read_text() == (target / "three").read_text() == "x"
    assert not (target / "two").is_symlink()
    assert os.readlink(target / "three") == "two"


def test_a_folder_that_many_links_lead_to_is_published_once(bench, tree):
    """Ten levels of two links each would be a thousand copies."""
    for level in range(10):
        (bench.scratch / f"f{level}").mkdir()
        for name in ("a", "b"):
            if level:
                (bench.scratch / f"f{level}" / name).symlink_to(bench.scratch / f"f{level - 1}")
    (bench.scratch / "f0" / "content").write_text("x")
    (tree / "top").symlink_to(bench.scratch / "f9")
    target, published = publish(bench)
    assert (target / "top" / Path(*"ababababa") / "content").read_text() == "x"
    assert published.size_bytes == 1


@pytest.mark.parametrize(
    "to",
    ["/etc/passwd", "/etc", "../../../../x", "nowhere", "loop", "/proc/self/root", "/dev/null"],
)
def test_a_link_that_leads_elsewhere_is_named(bench, tree, to):
    (bench.scratch.parent / "x").write_text("not its own")
    (tree / "sub").mkdir()
    (tree / "sub" / "loop").symlink_to(to)
    with pytest.raises(OutputError, match=r"`sub/loop` in output `d` is a symbolic link"):
        bench.publish(FOLDER)
    assert list(bench.results.iterdir()) == []


@pytest.mark.parametrize("to", ["", "out", "out/d"])
def test_a_link_to_a_folder_around_the_output_is_named(bench, tree, to):
    (tree / "here").symlink_to(bench.scratch / to)
    with pytest.raises(OutputError, match=r"`here` in output `d`"):
        bench.publish(FOLDER)


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            listening.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def make_device(path):
    if os.getuid():
        pytest.skip("only root can make a device")
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_device])
@pytest.mark.parametrize("where", ["file", "in folder", "picked", "linked"])
def test_what_is_no_file_is_named_and_never_opened(bench, make, where):
    """Whoever opens a pipe waits for its writer; `/dev/zero` never ends."""
    path = bench.scratch / "special"
    if where == "file":
        path, outputs = bench.out("a", "special"), Output(name="a", to="special")
    elif where == "in folder":
        path, outputs = bench.out("d", "tree") / "special", FOLDER
        path.parent.mkdir()
    elif where == "linked":
        (bench.out("d", "tree")).mkdir()
        (bench.out("d", "tree") / "special").symlink_to(path)
        outputs = FOLDER
    else:
        outputs = Output(name="p", pick="spec*", to="picked/")
    make(path)
    with pytest.raises(
        OutputError, match=r"special.*named pipe|special.*socket|special.*device|neither"
    ):
        bench.publish(outputs)


def test_a_file_that_has_another_name_elsewhere_is_copied(bench, tree):
    foreign = bench.scratch.parent / "foreign"
    foreign.write_text("then")
    os.link(foreign, tree / "f")
    os.link(foreign, bench.out("a", "a.txt"))
    os.link(foreign, bench.scratch / "picked.dat")
    bench.publish(FOLDER, Output(name="a", to="a.txt"), Output(name="p", pick="*.dat", to="p/"))
    foreign.write_text("now")
    for name in ("tree/f", "a.txt", "p/picked.dat"):
        assert (bench.results / name).read_text() == "then"


def test_files_that_are_one_within_the_scratch_stay_as_they_are(bench, tree):
    (tree / "one").write_text("x")
    os.link(tree / "one", tree / "two")
    (bench.scratch / "three").write_text("x")
    os.link(bench.scratch / "three", tree / "three")
    before = {name: (tree / name).stat().st_ino for name in ("one", "two", "three")}
    target, _ = publish(bench)
    if target.stat().st_dev == bench.scratch.parent.stat().st_dev:
        assert {name: (target / name).stat().st_ino for name in before} == before


def test_rights_of_another_account_do_not_survive(bench, tree):
    (tree / "sub").mkdir()
    for path in (tree / "run", tree / "sub" / "run", bench.out("a", "a.txt")):
        path.write_text("x")
        path.chmod(0o6755)
    (tree / "sub").chmod(0o2775)
    bench.publish(FOLDER, Output(name="a", to="a.txt"))
    for name in ("tree/run", "tree/sub/run", "a.txt"):
        assert stat.S_IMODE((bench.results / name).stat().st_mode) == 0o755
    assert stat.S_IMODE((bench.results / "tree" / "sub").stat().st_mode) == 0o775


def test_pieces_of_one_and_the_same_file_are_all_published(bench, tree):
    (tree / "x.log").write_text("x")
    (bench.scratch / "y.log").write_text("y")
    bench.out("a", "a.txt").symlink_to(bench.scratch / "y.log")
    bench.publish(
        FOLDER, Output(name="a", to="a.txt"), Output(name="p", pick="*.log", to="picked/")
    )
    assert (bench.results / "a.txt").read_text() == "y"
    assert (bench.results / "picked" / "y.log").read_text() == "y"


def test_an_output_inside_another_is_refused(bench, tree):
    bench.out("a", "a.txt").write_text("x")
    with pytest.raises(OutputError, match="would be inside output `d`"):
        bench.publish(FOLDER, Output(name="a", to="tree/a.txt"))


def test_a_long_copy_can_be_broken_off(tmp_path):
    """The file has 2 GB, without taking them: it is read for a second or more."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        bench = Bench(tmp_path, Path(name))
        path = bench.out("a", "a.txt")
        path.touch()
        os.truncate(path, 2 << 30)
        stopped = threading.Timer(0.1, lambda: setattr(bench, "is_held", False))
        began_s = time.monotonic()
        stopped.start()
        with pytest.raises(Exception, match="lease"):
            bench.publish(Output(name="a", to="a.txt"))
        assert time.monotonic() - began_s < 5.0
        assert list(bench.results.iterdir()) == []


def test_settling_asks_before_every_file_whether_it_may_go_on(tmp_path):
    files = [tmp_path / name for name in "abcd"]
    for path in files:
        path.touch()
        path.chmod(0o4755)

    def settled() -> int:
        return sum(not path.stat().st_mode & stat.S_ISUID for path in files)

    def permit() -> None:
        if settled() == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        Settling([str(tmp_path)], permit).settle(str(tmp_path), "d")
    assert settled() == 2
