"""Every two of ten settings of a step, on and off, in six pipelines: each has its effect beside the others.

The three rows with a function are done in each language that has warm processes.

The rows are an array of Kleitman and Spencer: nothing is on in the first; in the other five, each
setting is on in three of its own, and two sets of three out of five always meet and always differ.
"""

import shutil
import sys
from itertools import combinations

import pytest
from sqlalchemy import select

import servers
from stoker.model.item import NewItem
from stoker.model.selection import Selection
from stoker.project import open_project
from stoker.project.services.janitor import remove_temporary
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.orders import verbs
from stoker.work.store_link import StoreLink
from stoker.work.worker import Worker

NAMES = (
    *("prepare", "secrets", "outputs", "python", "together"),
    *("timeout", "when", "retries", "memory", "temp"),
)
ROWS = [frozenset()] + [
    frozenset(
        name
        for name, on_in in zip(NAMES, combinations(range(1, 6), 3), strict=True)
        if row in on_in
    )
    for row in range(1, 6)
]
SHELL = """
tell() { printf '%s=%s\\n' "$1" "$2" >> "$LOG/$STOKER_PIPELINE.$STOKER_KEY"; }
tell prepared "${PREPARED-}"; tell token "${TOKEN-}"; tell other "${OTHER-}"
tell memory "$STOKER_MEMORY_BYTES"; tell seen "${SEEN-}"
case $STOKER_KEY in
  late) sleep 60;;
  flaky) if ! test -e "$LOG/$STOKER_PIPELINE.tried"; then touch "$LOG/$STOKER_PIPELINE.tried"; exit 9; fi;;
esac
"""
PYTHON = """
import os, time
from pathlib import Path
def f(task):
    log = Path(os.environ["LOG"], f"{os.environ['STOKER_PIPELINE']}.{task.key}")
    see = os.environ.get
    with log.open("a") as file:
        file.write(f"prepared={see('PREPARED', '')}\\ntoken={see('TOKEN', '')}\\nother={see('OTHER', '')}\\n")
        file.write(f"memory={see('STOKER_MEMORY_BYTES')}\\nseen={see('SEEN', '')}\\n")
    if task.key == "late":
        time.sleep(60)
    tried = log.with_suffix(".tried")
    if task.key == "flaky" and not tried.exists():
        tried.touch()
        raise OSError("once")
    for path in task.outputs.values():
        assert isinstance(path, Path) and isinstance(task.scratch, Path)
        path.write_text(task.key)
"""

OCTAVE = """
function f(task)
  log = fullfile(getenv('LOG'), [getenv('STOKER_PIPELINE') '.' task.key]);
  file = fopen(log, 'a');
  fprintf(file, 'prepared=%s\\ntoken=%s\\nother=%s\\n', getenv('PREPARED'), getenv('TOKEN'), getenv('OTHER'));
  fprintf(file, 'memory=%s\\nseen=%s\\n', getenv('STOKER_MEMORY_BYTES'), getenv('SEEN'));
  fclose(file);
  if strcmp(task.key, 'late'), pause(60); end
  if strcmp(task.key, 'flaky') && ~exist([log '.tried'], 'file')
    fclose(fopen([log '.tried'], 'w'));
    error('once');
  end
  names = fieldnames(task.outputs);
  for at = 1:numel(names)
    file = fopen(task.outputs.(names{at}), 'w'); fputs(file, task.key); fclose(file);
  end
end
"""
R = """
f <- function(task) {
  log <- file.path(Sys.getenv("LOG"), paste0(Sys.getenv("STOKER_PIPELINE"), ".", task$key))
  see <- Sys.getenv
  cat("prepared=", see("PREPARED"), "\\ntoken=", see("TOKEN"), "\\nother=", see("OTHER"), "\\nmemory=",
      see("STOKER_MEMORY_BYTES"), "\\nseen=", see("SEEN"), "\\n", sep = "", file = log, append = TRUE)
  if (task$key == "late") Sys.sleep(60)
  tried <- paste0(log, ".tried")
  if (task$key == "flaky" && !file.exists(tried)) { file.create(tried); stop("once") }
  for (path in task$outputs) cat(task$key, file = path)
}
"""
PROGRAM = """
import json, os, sys, types
from pathlib import Path
import m
for line in sys.stdin:
    task = json.loads(line)
    os.environ.update(task["env"])
    task["outputs"] = {name: Path(path) for name, path in task["outputs"].items()}
    try:
        m.f(types.SimpleNamespace(**{**task, "scratch": Path(task["scratch"])}))
        print('{"stoker":"done"}', flush=True)
    except OSError:
        print('{"stoker":"failed","reason":"once"}', flush=True)
"""
WARM = {
    "python": ('python = "m:f"', sys.executable),
    "octave": ('octave = "f"', "octave"),
    "r": ('r = "m.R:f"', "Rscript"),
    "persistent": (f'argv = ["{sys.executable}", "program.py"]\npersistent = true', sys.executable),
}


def pipeline(number, on, warm="python"):
    """The text of one row: a step with these settings, and one that uses what it left."""
    made = {"outputs": "{out.o}", "temp": "{out.t}"}
    writes = " ".join(f"printf {{key}} > {made[name]};" for name in sorted(on & made.keys()))
    action = WARM[warm][0] if "python" in on else f"run = '''{SHELL}{writes}'''"
    lines = {
        "prepare": "prepare = 'export PREPARED=yes SEEN=${TOKEN-}'",
        "secrets": 'secrets = ["TOKEN"]',
        "outputs": f'outputs.o = "out/{number}/{{key}}"',
        "together": 'together = "one"',
        "timeout": 'timeout = "1s"',
        "when": "when = \"key != 'skip'\"",
        "retries": 'retries = 1\nbackoff = "0.05s"',
        "memory": 'memory = "300M"',
        "temp": f'outputs.t = {{ to = "temp/{number}/{{key}}", temp = true }}',
    }
    reads = " ".join(f"{{in.s.{name[0]}}}" for name in sorted(on & made.keys()))
    after = f"run = 'cat {reads} > {{out.r}}'" if reads else "run = 'echo > {out.r}'\nafter = ['s']"
    together = lines["together"] if "together" in on else ""
    return "\n".join(
        (
            f"[pipelines.p{number}]\nitems = 'records'\n[pipelines.p{number}.steps.s]\n{action}",
            *(lines[name] for name in sorted(on) if name in lines),
            f"[pipelines.p{number}.steps.t]\n{after}\n{together}",
            f'outputs.r = "read/{number}/{{key}}"',
        )
    )


def keys(on):
    """The items of one row: each shows one setting at work."""
    return [
        "plain",
        "skip",
        *(["flaky"] if "retries" in on else []),
        *(["late"] if "timeout" in on else []),
    ]


def expected(on, key):
    """What becomes of the task of step `s`, and how many attempts it takes."""
    if key == "skip" and "when" in on:
        return "skipped", 1
    if key == "late":
        return "failed", 1 + ("retries" in on)
    return "done", 1 + (key == "flaky")


@pytest.fixture(params=list(WARM))
def project(request, tmp_path, monkeypatch):
    warm = request.param
    if shutil.which(WARM[warm][1]) is None:
        servers.unavailable(f"no {warm} is installed: nothing was tested with it")
    monkeypatch.setenv("TOKEN", "secret-1")
    monkeypatch.setenv("OTHER", "secret-2")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    (tmp_path / "log").mkdir()
    files = {"m.py": PYTHON, "f.m": OCTAVE, "m.R": R, "program.py": PROGRAM}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    rows = "\n".join(pipeline(number, on, warm) for number, on in rows_of(warm))
    (tmp_path / "stoker.toml").write_text(
        f'[project]\nname = "pairs"\n[secrets]\nnames = ["TOKEN", "OTHER"]\n{rows}\n'
    )
    return tmp_path, rows_of(warm)


def rows_of(warm):
    """The rows that are done: all with Python, and with others those that are not the same again."""
    return [(number, on) for number, on in enumerate(ROWS) if warm == "python" or "python" in on]


def test_the_rows_have_every_two_settings_in_every_combination():
    for one, other in combinations(NAMES, 2):
        seen = {(one in on, other in on) for on in ROWS}
        assert len(seen) == 4, (one, other)


def test_every_two_settings_of_a_step_work_together(project):
    project, rows = project
    with open_project(project) as opened:
        assert not opened.loaded.problems
        opened.follow_file()
        for number, on in rows:
            register.register(
                opened.store, f"p{number}", [NewItem(key=key) for key in keys(on)], Actor("tester")
            )
        Worker(StoreLink(opened.store), opened.settings, slots=8, drain=True).work()
        remove_temporary(opened.store)
        found = states(opened.store)
    wrong = {}
    for number, on in rows:
        for key in keys(on):
            state, tries = expected(on, key)
            if found[f"p{number}", key, "s"] != (state, tries):
                wrong[number, key] = (found[f"p{number}", key, "s"], state, tries, sorted(on))
            if state != "done":
                continue
            said = (project / "log" / f"p{number}.{key}").read_text().splitlines()[-5:]
            facts = {
                "prepared": "yes" if "prepare" in on else "",
                "token": "secret-1" if "secrets" in on else "",
                "other": "",
                "memory": str(300 * 1024**2) if "memory" in on else "",
                "seen": "secret-1" if {"prepare", "secrets"} <= on else "",
            }
            if said != [f"{name}={value}" for name, value in facts.items()]:
                wrong[number, key, "sees"] = (said, facts)
            published = {
                "out": key if "outputs" in on else None,
                "temp": None,  # its successor is done
                "read": key * len(on & {"outputs", "temp"}) or "\n",
            }
            for folder, text in published.items():
                path = project / folder / str(number) / key
                if (path.read_text() if path.exists() else None) != text:
                    wrong[number, key, folder] = text
    assert wrong == {}


def states(store):
    task, item, step, attempt = tables.task, tables.item, tables.step, tables.attempt
    from stoker.model.states import TaskState

    query = select(
        item.c.key, step.c.name, tables.pipeline.c.name.label("of"), task.c.state, task.c.id
    ).select_from(
        task.join(item, item.c.id == task.c.item_id)
        .join(step, step.c.id == task.c.step_id)
        .join(tables.pipeline, tables.pipeline.c.id == item.c.pipeline_id)
    )
    with store.reading() as unit:
        tries = [row.task_id for row in unit.execute(select(attempt.c.task_id)).fetchall()]
        return {
            (row.of, row.key, row.name): (TaskState(row.state).word, tries.count(row.id))
            for row in unit.execute(query).fetchall()
        }


SLOW = """
[pipelines.p.steps.s]
run = "touch {here}/ran-{key}"
prepare = '''
echo >> {here}/prepared
test -e {here}/go || sleep 60
'''
"""


def test_a_cancel_while_prepare_runs_stops_it_and_starts_nothing(rig):
    rig.write(SLOW.replace("{here}", str(rig.folder)))
    rig.push("a", "b")
    asked = []

    def cancel(_event):
        if (rig.folder / "prepared").exists() and not asked:
            asked.append(True)
            verbs.cancel(rig.store, Selection(keys=("a", "b")), Actor("tester"))
        elif set(rig.task_states().values()) == {"cancelled"}:
            (rig.folder / "go").touch()
            rig.push("c")
        elif rig.task_states().get("c/s") == "done":
            worker.stop()

    worker = rig.worker(on_event=cancel, drain=False)
    worker.work()
    assert rig.task_states() == {"a/s": "cancelled", "b/s": "cancelled", "c/s": "done"}
    assert [path.name for path in rig.folder.glob("ran-*")] == ["ran-c"]
    assert rig.leftovers() == []


def test_a_cancel_of_one_that_waits_for_prepare_lets_the_others_go_on(rig):
    rig.write(
        SLOW.replace("{here}", str(rig.folder)).replace(
            "sleep 60",
            "until test -e {here}/go; do sleep 0.02; done".replace("{here}", str(rig.folder)),
        )
    )
    rig.push("a", "b")
    asked = []

    def cancel(_event):
        if (rig.folder / "prepared").exists() and not asked:
            asked.append(True)
            verbs.cancel(rig.store, Selection(keys=("a",)), Actor("tester"))
        elif asked and rig.task_states()["a/s"] == "cancelled":
            (rig.folder / "go").touch()

    rig.worker(on_event=cancel).work()
    assert rig.task_states() == {"a/s": "cancelled", "b/s": "done"}
    assert not (rig.folder / "ran-a").exists()
    assert (rig.folder / "prepared").read_text() == "\n"
