"""Items that kill their workers, and attempts that take more memory than they may."""

import json
import os
import resource
import subprocess
import sys

import pytest

from stoker.model import bounds
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.reports import failures, why_waiting


def attempts(site):
    attempt = tables.attempt
    return site.scene().rows(attempt.select().order_by(attempt.c.number))


def ends(site) -> list[str]:
    return [AttemptState(row.state).word for row in attempts(site)]


def test_an_item_that_kills_its_workers_is_stopped_and_named(site):
    site.write("""
    [pipelines.p.steps.s]
    run = '''
    LIFE
    tick start
    test {key} = good || kill -9 $PPID
    '''
    """)
    site.apply()
    site.push("poison")
    site.run(code=1)
    assert ends(site) == ["lost"] * 3
    (row,) = failures.failures(site.store, Selection())
    assert (row.n, row.step, row.examples) == (1, "s", ("poison",))
    assert "died or lost its lease" in row.cause
    site.hold(may_fail=True)


def test_an_item_that_kills_its_workers_takes_none_down_with_it(site):
    site.write("""
    [pipelines.p.steps.s]
    run = '''
    LIFE
    tick start
    test {key} = poison || { sleep 0.5; exit 0; }
    kill -9 $PPID
    '''
    """)
    site.apply()
    site.push("poison", "fine", "good")
    site.run("run", "--slots", "3", code=1)
    (row,) = failures.failures(site.store, Selection())
    assert (row.n, row.examples) == (1, ("poison",))
    site.hold(may_fail=True)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [('"64M"', ["out_of_memory"]), ('["64M", "1G"]', ["out_of_memory", "succeeded"])],
    ids=["one level", "escalating"],
)
def test_memory_over_the_limit_ends_the_attempt_and_the_next_may_have_more(site, memory, expected):
    site.write(f"""
    [pipelines.p.steps.s]
    memory = {memory}
    retries = {len(expected) - 1}
    backoff = "0s"
    argv = ["python3", "-c", "import time; b = bytearray(200_000_000); time.sleep(1.5)"]
    """)
    site.apply()
    site.push("k")
    site.run(code=0 if expected[-1] == "succeeded" else 1)
    assert ends(site) == expected
    site.hold(may_fail=True)


SHARING = """
import os, time
kept = bytearray(100_000_000)
for _ in range(4):
    if not os.fork():
        time.sleep(1.5)
        os._exit(0)
time.sleep(1.5)
"""


def test_memory_that_processes_share_counts_once(site):
    (site.folder / "sharing.py").write_text(SHARING)
    site.write("""
    [pipelines.p.steps.s]
    memory = "250M"
    argv = ["python3", "HERE/sharing.py"]
    """)
    site.apply()
    site.push("k")
    site.run()
    assert ends(site) == ["succeeded"]
    site.hold()


def test_memory_of_what_left_the_tree_of_an_attempt_counts_too(site):
    site.write("""
    [pipelines.p.steps.s]
    memory = "64M"
    run = "setsid -f python3 -c 'b = bytearray(200_000_000); import time; time.sleep(600)'; sleep 60"
    """)
    site.apply()
    site.push("k")
    site.run(code=1)
    assert ends(site) == ["out_of_memory"]
    site.hold(may_fail=True)


@pytest.mark.parametrize("how", ["argv", "run"])
def test_an_attempt_that_the_system_killed_over_its_limit_ends_as_out_of_memory(site, how):
    (site.folder / "greedy.py").write_text(
        "import os; b = bytearray(200_000_000); os.kill(os.getpid(), 9)"
    )
    command = {"argv": '["python3", "HERE/greedy.py"]', "run": '"python3 HERE/greedy.py; true"'}
    site.write(f"""
    [pipelines.p.steps.s]
    memory = ["64M", "1G"]
    retries = 1
    backoff = "0s"
    {how} = {command[how]}
    """)
    site.apply()
    site.push("k")
    site.run(code=1)
    assert ends(site) == ["out_of_memory", "failed"]  # with more it was not that
    site.hold(may_fail=True)


@pytest.mark.parametrize(
    "text",
    ["head -c 100M /dev/zero > big; sleep 600", "head -c 100M /dev/zero > big"],
    ids=["while it runs", "at its end"],
)
def test_disk_over_the_limit_ends_the_attempt_and_nothing_of_it_is_published(site, text):
    site.write(f"""
    [pipelines.p.steps.s]
    disk = "8M"
    run = 'echo > {{out.a}}; {text}'
    outputs.a = "results/{{key}}"
    """)
    site.apply()
    site.push("k")
    site.run(code=1)
    assert ends(site) == ["failed"]
    (row,) = failures.failures(site.store, Selection())
    assert row.cause == "disk limit reached"
    assert not (site.folder / "results").exists()
    site.hold(may_fail=True)


STEPS = """
def files(task):
    return {"files": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
"""


def test_a_step_says_how_many_files_its_processes_may_have_open(site):
    (site.folder / "steps.py").write_text("import resource\n" + STEPS)
    site.write("""
    [pipelines.p.steps.shell]
    open_files = 77
    run = '''bash -c 'echo "{\\"files\\": $(ulimit -n)}" > "$STOKER_VALUES"' '''
    [pipelines.p.steps.warm]
    open_files = 78
    python = "steps:files"
    [pipelines.p.steps.other]
    after = ["warm"]
    python = "steps:files"
    """)
    site.apply()
    site.push("k")
    site.run()
    values = [json.loads(row.step_values)["files"] for row in attempts(site)]
    assert sorted(values)[:2] == [77, 78]
    assert sorted(values)[2] > 78  # of a process that served the one before
    site.hold()


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= bounds.OPEN_FILES.most,
    reason="this host allows all that a step may ask for",
)
def test_more_open_files_than_the_host_allows_is_said(site):
    site.write("""
    [pipelines.p.steps.s]
    open_files = 1_048_576
    run = "true"
    """)
    site.apply()
    site.push("k")
    site.run(code=1)
    (row,) = failures.failures(site.store, Selection())
    assert "more than the" in row.cause
    site.hold(may_fail=True)


def test_a_worker_claims_no_more_than_its_host_has(site):
    site.write("""
    [pipelines.p.steps.cpus]
    cpus = 4000
    run = "true"
    [pipelines.p.steps.memory]
    memory = "900T"
    run = "true"
    """)
    site.apply()
    site.push("k")
    site.run("run", code=1)
    assert not attempts(site)
    why = why_waiting.why(site.store, "k", "memory")
    assert why.state == "ready"
    site.hold(is_over=False)


def test_a_worker_has_no_more_cpus_than_it_may_run_on():
    one = min(os.sched_getaffinity(0))
    text = "import os; from stoker.work import usage; print(usage.host_cpus())"
    code = f"import os; os.sched_setaffinity(0, {{{one}}})\n{text}"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "1"
