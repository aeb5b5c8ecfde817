"""Worker folders and the removal of whatever an attempt may leave in a scratch."""

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from stoker.work import scratch
from stoker.work.scratch import (
    HIDDEN,
    Owner,
    WorkerFolder,
    boot_id,
    clear_dead,
    is_pristine,
    make_scratch,
    process_start,
    read_owner,
    wipe,
)


def owner(**more) -> Owner:
    pid = os.getpid()
    mine = {
        "host": "here",
        "boot_id": boot_id(),
        "pid": pid,
        "started": process_start(pid),
        "worker": 7,
        "store": "s",
    }
    return Owner(**mine | more)


def clear(root: Path, **more) -> list[str]:
    ours = {"host": "here", "boot": boot_id(), "store": "s", "is_gone": lambda _worker: True}
    return clear_dead(str(root), **ours | more)


def test_a_tree_goes_with_all_that_is_in_it(tmp_path):
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "-rf").write_text("x")
    (top / "a" / "b" / "new\nline").write_text("x")
    (top / os.fsdecode(b"\xff\xfe")).write_text("x")
    os.mkfifo(top / "fifo")
    assert wipe(str(top)) == []
    assert not top.exists()


def test_symbolic_links_are_removed_and_never_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep")
    top = tmp_path / "top"
    top.mkdir()
    (top / "folder").symlink_to(outside)
    (top / "file").symlink_to(outside / "precious")
    (top / "dangling").symlink_to(tmp_path / "nowhere")
    assert wipe(str(top)) == []
    assert (outside / "precious").read_text() == "keep"


def test_a_link_in_place_of_the_scratch_is_removed_itself(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep")
    scratch = tmp_path / "scratch"
    scratch.symlink_to(outside)
    make_scratch(str(scratch))
    assert is_pristine(str(scratch))
    assert (outside / "precious").read_text() == "keep"


def test_depth_does_not_matter(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):  # far beyond what recursion or one path could reach
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    assert wipe(str(top)) == []
    assert not top.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_folders_without_rights_are_removed():
    """Root may do everything, so another user tries."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o777)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                code = _wipe_what_nobody_may_enter(Path(name, "top"))
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _wipe_what_nobody_may_enter(top: Path) -> int:
    (top / "a" / "b" / "c").mkdir(parents=True)
    (top / "a" / "b" / "file").touch()
    for folder, mode in (("a/b/c", 0), ("a/b", 0), ("a", 0o400), ("", 0o100)):
        (top / folder).chmod(mode)
    left = wipe(str(top))
    return 0 if left == [] and not top.exists() else 2


def test_what_cannot_be_removed_is_told(tmp_path):
    top = tmp_path / "top"
    (top / "in").mkdir(parents=True)
    file = top / "in" / "file"
    file.write_text("x")
    if subprocess.run(["chattr", "+i", file], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable files, or we may not make them")
    try:
        assert wipe(str(top)) != []
        assert top.exists()
        with pytest.raises(OSError, match="cannot be removed"):
            make_scratch(str(top))
    finally:
        for found in top.rglob("*"):
            subprocess.run(["chattr", "-i", found], check=False)
    assert wipe(str(top)) == []


@pytest.mark.parametrize("inside", ["mounted", "deep/mounted", "very/deep/mounted"])
def test_another_file_system_mounted_inside_is_left_alone_and_told(tmp_path, monkeypatch, inside):
    """A mount looks like a folder of another device; this one is only said to be one."""
    top = tmp_path / "top"
    mounted = top / inside
    (mounted / "sub").mkdir(parents=True)
    (mounted / "sub" / "precious").write_text("keep")
    mounted.chmod(0o500)
    inode, lstat, rename = mounted.stat().st_ino, os.lstat, os.rename

    def foreign(path, **more):
        found = lstat(path, **more)
        if found.st_ino != inode:
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))

    def refusing(source, target, **more):
        if lstat(source).st_ino == inode:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), source)
        rename(source, target, **more)

    monkeypatch.setattr(scratch.os, "lstat", foreign)
    monkeypatch.setattr(scratch.os, "rename", refusing)
    left = wipe(str(top))
    monkeypatch.undo()
    (kept,) = top.rglob("precious")
    assert kept.read_text() == "keep"
    assert left == [str(kept.parent.parent)]
    assert kept.parent.parent.stat().st_mode & 0o777 == 0o500


def test_wiping_nothing_is_fine(tmp_path):
    assert wipe(str(tmp_path / "never")) == []


@pytest.mark.parametrize("change", ["mode", "content", "file", "gone"])
def test_only_an_untouched_scratch_serves_again(tmp_path, change):
    scratch = tmp_path / "scratch"
    make_scratch(str(scratch))
    assert is_pristine(str(scratch))
    match change:
        case "mode":
            scratch.chmod(0o755)
        case "content":
            (scratch / ".hidden").touch()
        case "file":
            scratch.rmdir()
            scratch.touch()
        case "gone":
            scratch.rmdir()
    assert not is_pristine(str(scratch))
    make_scratch(str(scratch))
    assert is_pristine(str(scratch))


def test_a_living_worker_keeps_its_folder(tmp_path):
    folder = WorkerFolder(str(tmp_path), owner())
    assert read_owner(folder.path) == owner()
    assert clear(tmp_path) == []
    assert Path(folder.path).exists()
    assert folder.remove() == []
    assert not Path(folder.path).exists()


@pytest.mark.parametrize(
    "dead",
    [{"pid": 2**22 - 1}, {"started": 1}, {"boot_id": "another boot"}],
    ids=["pid gone", "pid reused", "rebooted"],
)
def test_a_dead_workers_folder_goes_with_what_it_noted_elsewhere(tmp_path, dead):
    root, targets = tmp_path / "root", tmp_path / "targets"
    targets.mkdir()
    folder = WorkerFolder(str(root), owner(**dead))
    hidden = targets / f"{HIDDEN}1234"
    folder.note_elsewhere(str(hidden))
    hidden.write_text("half")
    precious = targets / "precious"
    folder.note_elsewhere(str(precious))  # not one of ours, whoever wrote it there
    precious.write_text("keep")
    assert clear(root) == []
    assert not Path(folder.path).exists()
    assert not hidden.exists()
    assert precious.exists()


@pytest.mark.parametrize("other", [{"host": "there"}, {"store": "other"}])
def test_folders_of_other_hosts_and_stores_are_not_ours_to_judge(tmp_path, other):
    folder = WorkerFolder(str(tmp_path), owner(pid=2**22 - 1, **other))
    assert clear(tmp_path) == []
    assert Path(folder.path).exists()


def test_of_a_container_of_the_same_name_the_store_decides(tmp_path):
    """Its processes cannot be seen from here: it shares host name and boot, and may well live."""
    boot, _, namespace = boot_id().rpartition(".")
    assert namespace == str(os.stat("/proc/self/ns/pid").st_ino)
    folder = WorkerFolder(str(tmp_path), owner(pid=2**22 - 1, boot_id=f"{boot}.1"))
    assert clear(tmp_path, is_gone=lambda _worker: False) == []
    assert Path(folder.path).exists()
    asked = []
    assert clear(tmp_path, is_gone=lambda worker: asked.append(worker) or True) == []
    assert asked == [7]
    assert not Path(folder.path).exists()


def test_a_folder_that_finds_no_room_when_it_is_made_leaves_nothing(tmp_path, monkeypatch):
    open_, asked = os.open, []

    def full(path, *args):
        asked.append(os.path.basename(path))
        if asked[-1] == "elsewhere":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return open_(path, *args)

    monkeypatch.setattr(scratch.os, "open", full)
    with pytest.raises(OSError, match="No space"):
        WorkerFolder(str(tmp_path), owner())
    assert asked[-1] == "elsewhere"
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    WorkerFolder(str(tmp_path), owner()).remove()


def test_notes_of_what_is_gone_do_not_pile_up(tmp_path):
    folder = WorkerFolder(str(tmp_path), owner())
    with folder.hidden("/x/.stoker-1"), folder.hidden("/x/.stoker-2"):
        assert Path(folder.path, "elsewhere").read_bytes().count(b"\0") == 2
    assert Path(folder.path, "elsewhere").read_bytes() == b""


@pytest.mark.parametrize(
    ("account", "is_cleared"), [("its own", True), ("root", True), ("another", False)]
)
def test_who_could_not_end_what_was_started_there_clears_nothing(
    tmp_path, monkeypatch, account, is_cleared
):
    folder = WorkerFolder(str(tmp_path), owner(pid=2**22 - 1))
    if os.geteuid() == 0:
        os.chown(folder.path, 4711, -1)
    own = os.stat(folder.path).st_uid
    numbers = {"its own": own, "root": 0, "another": own + 1}
    monkeypatch.setattr(os, "geteuid", lambda: numbers[account])
    assert clear(tmp_path) == []
    assert os.path.exists(folder.path) != is_cleared


def test_a_folder_that_was_being_made_is_known_by_its_name(tmp_path):
    """It may have no owner file yet; one of a live worker, or of another name, is left alone."""
    dead, alive = (
        tmp_path / scratch._passing_name(owner(pid=2**22 - 1)),
        tmp_path / scratch._passing_name(owner()),
    )
    other = tmp_path / dead.name.removeprefix(HIDDEN)
    for folder in (dead, alive, other):
        folder.mkdir()
    assert clear(tmp_path) == []
    assert sorted(tmp_path.iterdir()) == sorted([alive, other])
