"""Values as a table: `stoker values`, `project.values`, and tables that are kept current."""

import csv
import io
import os
import sqlite3
import subprocess
import sys

import pytest

import stoker

TOML = """
[pipelines.p]
items = "records"
TABLES
[pipelines.p.params]
n = { type = "integer", default = 1 }
[pipelines.p.steps.s]
run = '''
echo x > {out.o}
case {key} in bad*) exit 1;; esac
python3 -c 'import json, os; json.dump({"n": N, "t": os.environ["STOKER_KEY"], "l": [1, "ü"]}, open(os.environ["STOKER_VALUES"], "w"))'
'''
outputs.o = "o/{key}"
[pipelines.p.steps.late]
run = "true"
after = ["s"]
"""
KEYS = ["a", 'q"uo,te', "z\nz", "%41", "bad", "=1+1", " b", "ünï"]


@pytest.fixture
def done(lab):
    write(lab, 'tables.all = "r/all.csv"')
    lab("run", "p", *KEYS, code=1)
    return lab


def write(lab, tables, n="1.5"):
    lab.write(
        "stoker.toml",
        TOML.replace("TABLES", tables).replace("N}", "N}").replace('"n": N', f'"n": {n}'),
    )


def read(lab, name="r/all.csv", **how):
    with open(lab.folder / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, **how))


GOOD = sorted(["a", 'q"uo,te', "z%0Az", "%41", "=1+1", " b", "ünï"], key=str.encode)


def test_equal_content_in_all_formats(done):
    for name in ("t.csv", "t.tsv", "t.sqlite", "t.parquet"):
        assert "wrote 7 rows" in done("values", "p", "--out", name).err
    rows = read(done, "t.csv")
    assert [row["key"] for row in rows] == GOOD
    assert list(rows[0]) == [
        "key",
        "params.n",
        "values.s.l",
        "values.s.n",
        "values.s.t",
    ]
    assert rows[0]["values.s.l"] == '[1,"ü"]'
    assert read(done, "t.tsv", delimiter="\t") == rows
    with sqlite3.connect(done.folder / "t.sqlite") as database:
        found = database.execute("SELECT * FROM p").fetchall()
    assert found == [(row["key"], 1, row["values.s.l"], 1.5, row["values.s.t"]) for row in rows]
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(done.folder / "t.parquet")
    assert [tuple(one.values()) for one in table.to_pylist()] == found
    assert list(csv.DictReader(io.StringIO(done("values", "p", "--out", "-").out))) == rows
    lines = done("values", "p", "--json").rows
    assert [tuple(line["columns"].values()) for line in lines] == found


def test_selection_and_columns(done):
    out = done("values", "p", "--columns", "key,outputs.s.o,params.n", "a", "%*", "--out", "-").out
    assert out.splitlines() == [
        "key,outputs.s.o,params.n", f"%41,{done.folder}/o/%41,1", f"a,{done.folder}/o/a,1",
    ]  # fmt: skip
    out = done("values", "p", "--columns", "key,params.n", "--out", "-").out
    assert len(out.splitlines()) == 1 + len(KEYS), "no step is named, so that none has to be done"
    out = done("values", "p", "--where", "values.s.n > 2.0", "--out", "-").out
    assert out.splitlines() == ["key,params.n"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("p",), 2, "say where the table is to go"),
        (("p", "--out", "x.xls"), 2, "is not the name of a table"),
        (("q", "--out", "-"), 3, "has no pipeline `q`"),
        (("p", "--out", "-", "--columns", "valeus.s.n"), 2, "is not a column"),
        (("p", "--out", "-", "--columns", ","), 2, "names none"),
        (("p", "--out", "o.csv/t.csv"), 2, "cannot be written"),
        (("p", "--out", "dir.csv"), 2, "is not a file"),
    ],
)
def test_what_is_refused(done, arguments, code, words):
    (done.folder / "dir.csv").mkdir()
    done.write("o.csv")
    assert words in done("values", *arguments, code=code).err
    assert [one for one in os.listdir(done.folder) if one.startswith(".stoker-")] == []


def test_a_table_is_current_after_run_and_only_written_for_a_change(done):
    path = done.folder / "r/all.csv"
    assert [row["key"] for row in read(done)] == GOOD
    of = done("status", "--json").json["pipelines"]["p"]["tables"]["all"]
    assert (of["path"], of["rows"], of["trouble"]) == (str(path), 7, None)
    before = path.stat().st_ino
    done("run", code=1)
    assert path.stat().st_ino == before
    done("push", "p", "new")
    done("run", code=1)
    assert len(read(done)) == 8
    write(
        done,
        'tables.all = { to = "r/all.csv", columns = ["key"], where = "key.startsWith(\\"n\\")" }',
    )
    done("run", code=1)
    assert read(done) == [{"key": "new"}]
    path.unlink()
    done("up", "--once")
    assert read(done) == [{"key": "new"}]


def look(path):
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("what", ["file", "folder", "link", "changed"])
def test_what_a_person_put_there_is_never_replaced(lab, what):
    write(lab, 'tables.all = "r/all.csv"')
    path = lab.folder / "r" / "all.csv"
    path.parent.mkdir()
    if what == "changed":
        lab("run", "p", "a")
        path.write_text(path.read_text() + "mine\n")
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        lab.write("mine")
        path.symlink_to(lab.folder / "mine")
    else:
        path.write_text("mine\n")
    before = look(path)
    lab("run", "p", "b")
    assert look(path) == before
    assert "table `all` is not current" in lab("status").out
    assert (
        "move it away" in lab("status", "--json").json["pipelines"]["p"]["tables"]["all"]["trouble"]
    )
    os.rename(path, lab.folder / "away")
    lab("up", "--once")
    assert len(read(lab)) == (2 if what == "changed" else 1)
    assert lab("status", "--json").json["pipelines"]["p"]["tables"]["all"]["trouble"] is None


KEEP = """
import sys, stoker
from stoker.project.value_tables.keeping import keep_all
with stoker.open(sys.argv[1]) as project:
    keep_all(project.store, file=str(project.file))
"""


@pytest.mark.parametrize("point", ["table.written", "table.begun", "table.placed"])
def test_killed_at_any_moment_the_next_writes_it(done, point):
    done("push", "p", "new")
    done("work", "--drain")
    env = {**os.environ, "STOKER_FAILPOINTS": f"{point}=kill"}
    ended = subprocess.run([sys.executable, "-c", KEEP, str(done.folder)], env=env, check=False)
    assert ended.returncode == -9
    assert len(read(done)) == (8 if point == "table.placed" else 7)
    done("up", "--once")
    assert len(read(done)) == 8
    assert os.listdir(done.folder / "r") == ["all.csv"]


def test_a_column_widens_when_values_do(done):
    write(done, 'tables.all = "r/all.sqlite"', n='"text"')
    done("rerun", "a", "--step", "s")
    done("run", code=1)
    with sqlite3.connect(done.folder / "r/all.sqlite") as database:
        found = dict(database.execute('SELECT key, "values.s.n" FROM "all"').fetchall())
    assert (found["a"], found["%41"]) == ("text", "1.5")


def test_for_a_notebook(done):
    with stoker.open(done.folder) as project:
        rows = project.values("p")
        assert [row["key"] for row in rows] == GOOD
        assert rows[0]["values.s.n"] == 1.5
        assert project.values("p", "a", columns=["values.s.t"]) == [{"values.s.t": "a"}]
        assert project.values.write("p", out=str(done.folder / "n.csv")) == 7
        with pytest.raises(stoker.UserError):
            project.values("p", columns=["nothing"])


def test_two_at_once_write_one_table(done, monkeypatch):
    from stoker.errors import Unavailable
    from stoker.project.value_tables import writing

    target = str(done.folder / "r" / "all.csv")
    hidden = str(done.folder / "r" / ".stoker-x")
    lock = writing._locked
    with lock(hidden, target), pytest.raises(Unavailable), lock(hidden, target):
        pass
