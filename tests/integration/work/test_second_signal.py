"""A second order always ends a process, whatever holds it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from integration.work.rig import Rig, wait_until
from stoker.work import signals

STOKER = """
import sys
from stoker.work import warden
warden.LAST_S = 4.0
from stoker.cli.main import main
main(sys.argv[1:])
"""
STEP = """
[pipelines.p.steps.s]
run = '''
if ! test -e {here}/go; then trap '' TERM INT HUP; touch {here}/ready; {wait}; fi
echo > {out.o}
'''
outputs.o = "o"
"""
COMMANDS = (["work"], ["run"], ["up", "--no-web"])
PAIRS = (
    (signal.SIGTERM, signal.SIGTERM),
    (signal.SIGINT, signal.SIGINT),
    (signal.SIGTERM, signal.SIGINT),
)
HELD_BY = ("a step that ignores signals", "publishing", "the loop")
POINTS = {"publishing": "reserved=hang", "the loop": "exited=hang"}


class Held:
    """A `stoker` that a first signal does not end."""

    def __init__(self, folder, command, pair, held_by) -> None:
        self.name = f"{' '.join(command)}, {pair[0].name} {pair[1].name}, held by {held_by}"
        self.pair, self.held_by = pair, held_by
        folder.mkdir()
        self.rig = Rig(folder)
        wait = "sleep 60" if held_by == HELD_BY[0] else ":"
        self.rig.write(STEP.replace("{here}", str(folder)).replace("{wait}", wait))
        self.rig.push("k")
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", STOKER, *command],
                cwd=folder,
                env=os.environ | {"STOKER_FAILPOINTS": POINTS.get(held_by, "")},
                stdout=said,
                stderr=said,
            )

    @property
    def is_held(self) -> bool:
        if self.held_by in POINTS:
            return b"hangs" in self.said.read_bytes()
        return (self.rig.folder / "ready").exists()

    def check(self) -> str | None:
        """Return what is wrong with its end, or with what the next worker makes of it."""
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            return "it goes on"
        if code not in (0, 130):
            return f"exit code {code}: {self.said.read_text()}"
        if list(self.rig.marked()):
            return "processes are left"
        (self.rig.folder / "go").touch()
        self.rig.work()
        states = set(self.rig.task_states().values())
        return None if states == {"done"} else f"then {states}"


def test_a_second_signal_ends_work_run_and_up_whatever_holds_them(tmp_path):
    held = [
        Held(tmp_path / f"{row}{column}", command, pair, HELD_BY[(row + column) % 3])
        for row, command in enumerate(COMMANDS)
        for column, pair in enumerate(PAIRS)
    ]  # every two of command, pair and what holds it meet
    try:
        for one in held:
            wait_until(lambda one=one: one.is_held, f"{one.name}: {one.said.read_text()}")
        for turn in (0, 1):
            for one in held:
                one.process.send_signal(one.pair[turn])
            time.sleep(1.3 * signals.SAME_ORDER_S)
            if turn == 0:
                assert [one.name for one in held if one.process.poll() is not None] == []
        wrong = {one.name: problem for one in held if (problem := one.check())}
        assert wrong == {}
    finally:
        for one in held:
            one.process.kill()
            one.process.wait()
            for pid, _ in list(one.rig.marked()):
                os.kill(pid, signal.SIGKILL)
            one.rig.close()


DEAF = """
import hashlib
from stoker.cli import main
main.run = lambda _: hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
print("deaf", flush=True)
main.main([])
"""


def test_a_second_interrupt_ends_a_command_that_a_library_holds():
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout.readline() == b"deaf\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
    finally:
        process.kill()
        process.communicate()
