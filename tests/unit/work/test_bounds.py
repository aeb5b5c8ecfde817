"""The least that the control groups on the way up allow, in version 1, version 2 and containers."""

import os

import pytest

from stoker.work import bounds, usage

GIB = 1 << 30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write files of groups; the process is in `a/b` of the mount."""

    def build(files, path="/a/b"):
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        monkeypatch.setattr(bounds, "_groups", lambda _controller: [(str(tmp_path), path)])
        return tmp_path

    return build


@pytest.mark.parametrize(
    ("files", "n", "where"),
    [
        ({"a/b/memory.max": GIB}, GIB, "a/b"),
        ({"a/memory.max": GIB, "a/b/memory.max": "max"}, GIB, "a"),
        ({"a/memory.max": GIB, "a/b/memory.max": 2 * GIB}, GIB, "a"),
        ({"memory.max": GIB}, GIB, ""),  # a container sees its own limit at the root
        ({"a/b/memory.limit_in_bytes": GIB, "memory.limit_in_bytes": 2 * GIB}, GIB, "a/b"),
        ({"a/memory.limit_in_bytes": GIB}, GIB, "a"),
    ],
)
def test_the_least_memory_on_the_way_up_counts(groups, files, n, where):
    root = groups(files)
    assert bounds.memory_bound() == (n, str(os.stat(root / where).st_ino))
    assert usage.host_memory_bytes() == n


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a/b/memory.max": "max", "a/b/cpu.max": "max 100000"},
        {"a/b/memory.limit_in_bytes": 9223372036854771712, "a/b/cpu.cfs_quota_us": -1},
        {"a/b/memory.max": "much", "a/b/cpu.max": "", "memory.max": "-1", "cpu.max": "0 0"},
    ],
)
def test_groups_without_limits_take_nothing_away(groups, files):
    groups(files)
    assert (bounds.memory_bound(), bounds.cpu_bound()) == (None, None)
    assert usage.host_cpus() == len(os.sched_getaffinity(0))
    assert usage.quota_group() == ""


@pytest.mark.parametrize(
    ("files", "n"),
    [
        ({"a/b/cpu.max": "150000 100000"}, 1),
        ({"a/b/cpu.max": "50000 100000"}, 1),
        ({"a/cpu.max": "200000 100000", "a/b/cpu.max": "800000 100000"}, 2),
        ({"a/b/cpu.cfs_quota_us": 300000, "a/b/cpu.cfs_period_us": 100000}, 3),
        ({"cpu.cfs_quota_us": 100000, "cpu.cfs_period_us": 100000}, 1),
    ],
)
def test_the_fewest_whole_cpus_count(groups, files, n):
    groups(files)
    found = bounds.cpu_bound()
    assert found is not None
    assert found.n == n


def test_those_that_share_a_quota_share_its_name(groups):
    root = groups({"a/cpu.max": "100000 100000"})
    (root / "a" / "b").mkdir()
    (root / "a" / "c").mkdir()
    names = set()
    for path in ("/a/b", "/a/c"):
        groups({}, path)
        names.add(usage.quota_group())
    if len(os.sched_getaffinity(0)) > 1:
        assert names == {f"cgroup:{os.stat(root / 'a').st_ino}"}


def test_this_process_has_groups_that_can_be_read():
    for mount, path in bounds._groups("memory"):
        assert mount.startswith("/")
        assert path.startswith("/")
