"""When a file counts as complete: written by others while we look, with a clock of our own."""

import os

from stoker.intake.settle import settled


class World:
    """Time passes only when somebody sleeps; what happens meanwhile is told beforehand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        self.happens: list = []
        self.left: list[str] = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_s += seconds
        if self.happens:
            self.happens.pop(0)()

    def take(self, paths, settle_s=10):
        for path in paths:
            self.now_s = max(self.now_s, os.stat(path).st_ctime)
        return list(
            settled(
                map(str, paths),
                settle_s=settle_s,
                on_left=self.left.append,
                sleep=self.sleep,
                now_s=lambda: self.now_s,
            )
        )


def write(path, text):
    with path.open("a") as file:
        file.write(text)


def test_old_files_are_taken_at_once(tmp_path):
    path = tmp_path / "a"
    write(path, "x")
    world = World()
    world.now_s = os.stat(path).st_ctime + 11
    assert world.take([path]) == [str(path)]
    assert world.slept == []


def test_a_young_file_is_taken_after_one_quiet_wait(tmp_path):
    path = tmp_path / "a"
    write(path, "x")
    world = World()
    assert world.take([path]) == [str(path)]
    assert world.slept == [10]


def test_a_growing_file_is_waited_for_until_it_is_quiet(tmp_path):
    path = tmp_path / "a"
    write(path, "x")
    world = World()
    world.happens = [lambda: write(path, "y"), lambda: write(path, "z")]
    assert world.take([path]) == [str(path)]
    assert len(world.slept) == 3


def test_a_file_whose_time_was_set_back_is_no_older_for_it(tmp_path):
    path = tmp_path / "a"
    write(path, "x")
    os.utime(path, (1, 1))
    world = World()
    world.take([path])
    assert world.slept == [10]


def test_a_file_that_never_rests_is_left_and_told(tmp_path):
    path, quiet = tmp_path / "a", tmp_path / "b"
    write(path, "x")
    write(quiet, "x")
    world = World()
    world.happens = [lambda: write(path, "y")] * 50
    assert world.take([path, quiet]) == [str(quiet)]
    assert world.left == [str(path)]


def test_a_file_that_goes_is_told(tmp_path):
    path = tmp_path / "a"
    write(path, "x")
    world = World()
    world.happens = [path.unlink]
    assert world.take([path]) == []
    assert world.left == [str(path)]


def test_nobody_waits_for_a_young_file_that_is_known(tmp_path):
    path = tmp_path / "a"
    write(path, "x")
    world = World()
    known = settled([str(path)], settle_s=10, is_known=lambda _path: True, sleep=world.sleep)
    assert list(known) == []
    assert world.slept == []
