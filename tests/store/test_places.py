"""Where an SQLite file may lie: on a disk of one host, and nowhere else."""

import pytest

from stoker.errors import Refused
from stoker.spec import file_systems
from stoker.store.database import connect, relocate, upgrade
from stoker.store.database.connect import bare, open_store
from stoker.store.dialects import sqlite

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
//server/share /mnt/my\\040share cifs rw 0 0
mds@tcp:/lustre /lustre lustre rw 0 0
tmpfs /home/local tmpfs rw 0 0
host:/x /remote fuse.sshfs rw 0 0
"""


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """A machine with these file systems."""
    path = tmp_path / "mounts"
    path.write_text(MOUNTS)
    monkeypatch.setattr(file_systems, "MOUNTS", path)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/home/lab/x/.stoker/stoker.db", "nfs4"),
        ("/mnt/my share/stoker.db", "cifs"),
        ("/lustre/a/b/stoker.db", "lustre"),
        ("/remote/stoker.db", "fuse.sshfs"),
    ],
)
def test_a_file_on_a_network_file_system_is_refused_with_the_remedy(mounts, place, kind):
    with pytest.raises(Refused, match=rf"`{kind}`.*local disk.*database server.*move the file"):
        open_store(f"sqlite:///{place}")


@pytest.mark.parametrize("place", ["/var/lab/stoker.db", "/home/local/stoker.db", "/homes/s.db"])
def test_a_file_on_a_disk_of_this_host_is_not(mounts, place):
    sqlite.refuse_network(sqlite.Path(place))


def test_a_second_name_for_a_folder_does_not_hide_where_it_lies(tmp_path, monkeypatch):
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {real} nfs rw 0 0\n")
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)
    with pytest.raises(Refused, match="nfs"):
        open_store(f"sqlite:///{link}/stoker.db")


def test_a_file_of_another_host_is_not_opened_moved_or_upgraded_here(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/stoker.db"
    open_store(url).close()
    monkeypatch.setattr(connect, "machine", lambda: "another")
    with pytest.raises(Refused, match="belongs to another host"):
        open_store(url)
    with bare(url) as here, bare(f"sqlite:///{tmp_path}/other.db") as there:
        with pytest.raises(Refused, match="belongs to another host"):
            relocate.move(here, there, named=there.url)
        with pytest.raises(Refused, match="belongs to another host"):
            upgrade.upgrade(here)
    assert not (tmp_path / "other.db").exists()
