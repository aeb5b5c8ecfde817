"""What a Python step does to its process harms no other task, and no answer harms the worker."""

import json

LOOK = """
import builtins, gc, json, locale, os, resource, signal, subprocess, sys, threading, time, warnings
own_pid = os.getpid()
def look():
    return {
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "term": str(signal.getsignal(signal.SIGTERM)),
        "mask": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "umask": (os.umask(0o22), os.umask(0o22))[0],
        "left": os.environ.get("LEFT"),
        "path": len(sys.path),
        "argv": len(sys.argv),
        "locale": locale.setlocale(locale.LC_ALL),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "cpus": len(os.sched_getaffinity(0)),
        "recursion": sys.getrecursionlimit(),
        "gc": gc.isenabled(),
        "trace": sys.gettrace() is not None,
        "filters": len(warnings.filters),
        "threads": threading.active_count(),
    }
def f(task):
    assert os.path.samefile(os.curdir, task.scratch)
    seen = look()
    print("said", task.key)
    exec(SPOIL.get(task.key, "pass"), globals())
    return {"seen": seen, "pid": own_pid}
"""
RESTORED = {
    "alarm": "signal.alarm(1)",
    "timer": "signal.setitimer(signal.ITIMER_REAL, 0.2)",
    "handler": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "mask": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})",
    "umask": "os.umask(0o77)",
    "folder": "os.chdir('/')",
    "environment": "os.environ['LEFT'] = '1'",
    "another environment": "os.environ = {'LEFT': '1'}",
    "path": "sys.path.insert(0, '/tmp'); sys.argv.append('x')",
    "stdout": "sys.stdout = open(os.devnull, 'w'); os.close(1)",
    "wrapped stdout": "import io; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')",
    "closed stdout": "sys.stdout.close()",
    "locale": "locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
    "limits": "resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(4)[1]))",
    "files": "resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(7)[1]))",
    "processors": "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
    "recursion": "sys.setrecursionlimit(5000)",
    "collector": "gc.disable()",
    "trace": "sys.settrace(lambda *_: None)",
    "filters": "warnings.simplefilter('error')",
    "thread that ends": "threading.Thread(target=time.sleep, args=(0.01,)).start()",
    "replaced functions": "json.dumps = json.loads = time.time = os.getpid = os.chdir = lambda *a, **k: '{}'; "
    "builtins.open = os.open = os.waitid = os.dup = None",
}
GIVEN_UP = {
    "thread": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "late words": "threading.Timer(0.2, lambda: print('ERROR: late', flush=True)).start()",
    "raw thread": "import _thread; _thread.start_new_thread(time.sleep, (60,)); time.sleep(0.2)",
    "child": "subprocess.Popen(['sleep', '60'])",
    "open files": "kept = [os.open('/', 0) for _ in range(700)]",
    "hard limit": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "hard limit of files": "resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))",
}
STEP = """
[pipelines.p.steps.s]
python = "m:f"
error_markers = ["ERROR"]
open_files = 1000
"""


def spoil(rig, spoilers):
    """Tasks one after the other, each of which spoils its process in its own way; their values."""
    (rig.folder / "m.py").write_text(f"SPOIL = {spoilers!r}\n{LOOK}")
    rig.write(STEP)
    rig.push(*spoilers, "last")
    rig.work(slots=1)
    seen = rig.attempts()
    odd = {key: one.reason for key, one in seen.items() if one.state != "succeeded"}
    assert odd == {}
    said = {key: one.stdout.decode() for key, one in seen.items()}
    assert said == {key: f"said {key}\n" for key in seen}
    return {key: rig.values(one) for key, one in seen.items()}


def test_what_a_task_leaves_in_its_process_is_put_right(rig):
    left = spoil(rig, RESTORED)
    assert len({one["pid"] for one in left.values()}) == 1, "the process goes on"
    before = left[next(iter(RESTORED))]["seen"]
    assert {key: one["seen"] for key, one in left.items()} == dict.fromkeys(left, before)


def test_a_process_in_which_something_is_left_that_cannot_be_put_right_is_given_up(rig):
    left = spoil(rig, GIVEN_UP)
    pids = [one["pid"] for one in left.values()]
    assert len(set(pids)) == len(pids), dict(zip(left, pids, strict=True))


def test_what_an_import_sets_up_stays(rig):
    (rig.folder / "m.py").write_text(
        "import os, sys\n"
        "os.umask(0o2); os.environ['LEFT'] = '1'; sys.path.append('/kept')\n"
        "def f(task):\n"
        "    return {'is': [os.umask(0o2), os.environ.get('LEFT'), sys.path[-1]]}\n"
    )
    rig.write(STEP)
    rig.push(*"abc")
    rig.work(slots=1)
    assert [rig.values(one)["is"] for one in rig.all_attempts()] == [[2, "1", "/kept"]] * 3


GOOD = {
    "exit": None,
    "error": None,
    "problem": None,
    "started": 1.0,
    "ended": 2.0,
    "user": 0.0,
    "system": 0.0,
    "rss": 1,
    "text": [],
    "values": None,
}
ANSWERS = {
    "empty": b"",
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 50_000,
    "a list": b"[]",
    "nothing": b"{}",
    "another id": {"id": 10**6},
    "text for an id": {"id": "1"},
    "true for an id": {"id": True},
    "exit code": {"exit": -1},
    "long number": {"rss": 10**400},
    "time that is none": {"started": float("nan")},
    "time without end": {"ended": float("inf")},
    "words for a time": {"user": "1"},
    "no time": {"ended": None},
    "error": {"error": ["x"]},
    "values": {"values": "[1]"},
    "values without end": {"values": "{" * 70_000},
    "streams": {"text": ["a"]},
    "stream": {"text": ["a", {}]},
    "stream in a file": {"text": ["a", [10, -1, 5]]},
    "huge stream in a file": {"text": ["a", [10**12, 10**12, 0]]},
    "files": {"files": [1]},
    "file with a NUL": {"files": ["a\0b"]},
    "answer in no file": {"file": "x"},
    "answer in a FIFO": {"file": "fifo"},
}
EVIL = """
import json, os, socket, stat
def channel():
    for name in sorted(map(int, os.listdir('/proc/self/fd'))):
        try:
            if name > 2 and stat.S_ISSOCK(os.fstat(name).st_mode):
                return socket.socket(fileno=os.dup(name))
        except OSError:
            pass
def f(task):
    if not task.key.startswith('bad'):
        return {'n': 1}
    answers = json.load(open(os.path.join(os.path.dirname(__file__), 'answers')))
    answer = answers[task.key[3:]].encode('latin-1').replace(b'"SERIAL"', os.environ['SERIAL'].encode())
    if b'fifo' in answer:
        os.mkfifo(os.path.join(os.path.dirname(os.environ['STOKER_VALUES']), 'reply'))
    channel().send(answer)
    os._exit(0)
"""


def test_an_answer_that_makes_no_sense_costs_its_own_task_only(rig, monkeypatch):
    from stoker.work import warm_process, warmers

    def with_serial(claimed, *, number, env, **more):
        return warm_process.call_message(
            claimed, number=number, env={**env, "SERIAL": str(number)}, **more
        )

    monkeypatch.setattr(warmers, "call_message", with_serial)
    answers = {
        name: answer.decode("latin-1")
        if isinstance(answer, bytes)
        else json.dumps({"id": "SERIAL", **GOOD, **answer})
        for name, answer in ANSWERS.items()
    }
    (rig.folder / "answers").write_text(json.dumps(answers))
    (rig.folder / "m.py").write_text(EVIL)
    rig.write(STEP)
    keys = [key for name in ANSWERS for key in (f"bad{name}", f"good{name}")]
    rig.push(*keys)
    rig.work(slots=2)
    seen = rig.attempts()
    assert len(rig.all_attempts()) == len(keys)
    assert {key: one.state for key, one in seen.items()} == {
        key: "failed" if key.startswith("bad") else "succeeded" for key in keys
    }
    says = "makes no sense"
    odd = {key: one.reason for key, one in seen.items() if key.startswith("bad")}
    odd.pop("badempty")  # its end, with nothing said
    assert {key for key, reason in odd.items() if says not in reason} == set()


def test_a_long_answer_comes_whole(rig):
    (rig.folder / "m.py").write_text(
        "import sys\n"
        "def f(task):\n"
        "    sys.stdout.write(chr(233) * 4000); sys.stderr.write('\\x01' * 8000)\n"
        "    if task.key == 'b': raise ValueError('x' * 1_000_000)\n"
        "    return {'n': 'y' * 65_000}\n"
    )
    rig.write(STEP)
    rig.push("a", "b")
    rig.work()
    seen = rig.attempts()
    assert rig.values(seen["a"]) == {"n": "y" * 65_000}
    assert len(seen["a"].stdout) == 8000
    assert seen["b"].reason.startswith("ValueError: xxx")
