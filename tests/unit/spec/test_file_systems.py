"""On which kinds of file systems other hosts may write."""

import pytest

from stoker.spec import file_systems
from stoker.spec.file_systems import NETWORK_FILE_SYSTEMS, file_system_of, may_be_shared


def mounted(tmp_path, monkeypatch, text):
    path = tmp_path / "mounts"
    path.write_text(text)
    monkeypatch.setattr(file_systems, "MOUNTS", path)


@pytest.mark.parametrize("kind", sorted({*NETWORK_FILE_SYSTEMS, "fuse", "fuse.encfs", "fuseblk"}))
def test_what_other_hosts_may_write_to_gives_no_notice_of_all(tmp_path, monkeypatch, kind):
    mounted(tmp_path, monkeypatch, f"/dev/sda / ext4 rw 0 0\ns:/x /data {kind} rw 0 0\n")
    assert file_system_of("/data/raw") == kind
    assert may_be_shared("/data/raw")
    assert not may_be_shared("/database")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "btrfs", "overlay", "zfs"])
def test_a_disk_of_this_host_is_its_own(tmp_path, monkeypatch, kind):
    mounted(tmp_path, monkeypatch, f"s:/ / nfs rw 0 0\n/dev/sda /data {kind} rw 0 0\n")
    assert not may_be_shared("/data/raw")


def test_names_of_folders_are_written_with_escapes(tmp_path, monkeypatch):
    text = "/dev/sda / ext4 rw 0 0\ns:/ /my\\040data\\134x nfs rw 0 0\n"
    mounted(tmp_path, monkeypatch, text)
    assert file_system_of("/my data\\x/raw") == "nfs"


def test_where_nothing_is_known_it_may_be_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "nosuch")
    assert may_be_shared("/data")
