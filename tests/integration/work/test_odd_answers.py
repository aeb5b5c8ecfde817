"""Anything but a regular file where an attempt may answer; anything in place of its folders."""

import os

import pytest

IN_SHELL = {
    "folder": 'mkdir "$f"',
    "full folder": 'mkdir -p "$f/a/b"; touch "$f/a/b/c"; chmod 0 "$f/a"',
    "fifo": 'mkfifo "$f"',
    "link": 'ln -s /etc/passwd "$f"',
    "link to a device": 'ln -s /dev/zero "$f"',
    "dangling link": 'ln -s nowhere "$f"',
    "socket": "python3 -c 'import os,socket; socket.socket(socket.AF_UNIX).bind(os.environ[\"f\"])'",
}
if os.geteuid() == 0:
    IN_SHELL["device"] = 'mknod "$f" c 1 5'
else:
    IN_SHELL["unreadable"] = 'echo "{}" > "$f"; chmod 0 "$f"'
BAD_VALUES = {
    "huge": 'truncate -s 1T "$f"',
    "not UTF-8": 'printf \'{"a": "\\377"}\' > "$f"',
    "nested": "head -c 60000 /dev/zero | tr '\\0' '[' > \"$f\"",
}
STEP = """
[pipelines.p.steps.s]
run = '''
f=$STOKER_VALUES; case {key} in *.reason) f=$STOKER_REASON;; esac; export f
case {key} in
CASES
esac
'''
"""


def test_anything_but_a_file_fails_the_attempt_with_a_reason(rig):
    kinds = {
        f"{name}.{where}": text for where in ("values", "reason") for name, text in IN_SHELL.items()
    }
    kinds |= {f"{name}.values": text for name, text in BAD_VALUES.items()}
    cases = "\n".join(f"{key.replace(' ', '?')}) {text};;" for key, text in kinds.items())
    seen = rig.run(STEP.replace("CASES", cases), *kinds)
    wrong = {
        key: (one.state, one.reason)
        for key, one in seen.items()
        if one.state != "failed" or f"STOKER_{key.rpartition('.')[2].upper()}" not in one.reason
    }
    assert wrong == {}
    assert "is a folder, where a file is expected" in seen["folder.values"].reason
    assert set(rig.task_states().values()) == {"failed"}


def test_an_odd_answer_says_nothing_where_the_attempt_failed_anyway(rig):
    seen = rig.run('[pipelines.p.steps.s]\nrun = "mkfifo $STOKER_REASON; echo oh >&2; exit 3"')
    assert (seen["k"].state, seen["k"].reason) == ("failed", "exit code 3: oh")


@pytest.mark.parametrize(
    "to", ["", "; ln -s {there} $d", "; touch $d", "; mkfifo $d", "; mkdir -p $d/scratch/a"]
)
def test_an_attempt_that_replaces_its_own_folder_costs_nobody_else(rig, to):
    there = rig.folder / "there"
    (there / "scratch").mkdir(parents=True)
    (there / "scratch" / "precious").touch()
    (there / "values").touch()
    text = f"d=$(dirname $STOKER_SCRATCH); if test {{key}} = odd; then rm -rf $d{to.replace('{there}', str(there))}; fi"
    seen = rig.run(f"[pipelines.p.steps.s]\nrun = '{text}'", "odd", "b", "c", "d")
    assert {one.state for key, one in seen.items() if key != "odd"} == {"succeeded"}
    assert (there / "scratch" / "precious").exists()
    assert (there / "values").exists()


def test_a_warm_function_that_leaves_a_folder_fails_and_its_process_goes_on(rig):
    (rig.folder / "m.py").write_text(
        "import os\ndef f(task):\n    if task.key == 'odd': os.mkdir(os.environ['STOKER_VALUES'])\n"
    )
    seen = rig.run("[pipelines.p.steps.s]\npython = 'm:f'", "a", "odd", "z")
    assert {key: one.state for key, one in seen.items()} == {
        "a": "succeeded", "odd": "failed", "z": "succeeded",
    }  # fmt: skip
