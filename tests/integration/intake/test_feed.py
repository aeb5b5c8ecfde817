"""Documents of a real server become items, and say what became of them."""

import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import stoker
from couch.server import Couch
from stoker.intake.couch import Couch as Client
from stoker.intake.couch import FeedTrouble
from stoker.intake.register_found import Taker
from stoker.intake.sources.kinds import make_progress, make_source
from stoker.intake.sources.source import Over
from stoker.store.actor import Actor
from stoker.store.arrivals.sources import find_source

ME = Actor("tester")

FILE = """
[pipelines.runs]
items = "records"
[pipelines.runs.params]
number = {{ type = "integer", required = true, minimum = 1 }}
gain = {{ type = "number", default = 1.0 }}
[pipelines.runs.sources.closed]
feed = "{url}"
selector = {{ status = "closed" }}
params.number = "run.number"
[pipelines.runs.steps.convert]
run = '''echo run {{params.number}} > {{out.raw}}; [ {{params.number}} != 13 ]'''
outputs.raw = "raw/{{key}}.txt"
[pipelines.runs.steps.analyse]
run = "cat {{in.convert.raw}} > {{out.sum}}"
outputs.sum = "sums/{{key}}.txt"
"""


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def couch():
    started = Couch()
    yield started
    started.close()


@pytest.fixture
def database(couch):
    """The name of an empty database."""
    name = f"runs{next(_numbers)}"
    couch.make(name)
    return name


class Lab:
    """A project with one feed."""

    def __init__(self, folder, url, text=FILE):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "stoker.toml").write_text(text.format(url=url))
        self.open()

    def open(self):
        self.project = stoker.open(self.folder)
        self.project.follow_file()
        self.pipeline = self.project.pipelines["runs"]
        (self.declared,) = self.pipeline.sources
        store = self.project.store
        source = make_source(store, self.pipeline, self.declared, project_folder=str(self.folder))
        self.taker = Taker(store, "runs", source, ME)
        self.progress = Taker(store, "runs", make_progress(store, self.pipeline, self.declared), ME)

    def close(self):
        self.taker.source.close()
        self.progress.source.close()
        self.project.close()

    def reopen(self):
        self.close()
        self.open()

    def take(self):
        return self.taker.take()

    def items(self):
        return {row.item: row for row in self.project.items()}

    def cursor(self):
        return find_source(self.project.store, "runs", "closed", kind="feed").cursor


@pytest.fixture
def lab(tmp_path, couch, database):
    made = Lab(tmp_path / "lab", couch.url(database))
    yield made
    made.close()


def closed(name, number, **fields):
    return {"_id": name, "status": "closed", "run": {"number": number}, **fields}


def test_documents_that_fit_are_items_once(lab, couch, database):
    couch.put(database, closed("a", 1, site="north", tags=["x"], run_type="calib"))
    couch.put(database, {"_id": "open", "status": "open"}, {"_id": "_design/x", "status": "closed"})
    assert lab.take().registered == 1
    item = lab.items()["a"]
    assert item.params == {"number": 1, "gain": 1.0}
    assert item.meta == {
        "status": "closed", "site": "north", "tags": ["x"], "run_type": "calib",
        "document": "a", "feed": "closed",
    }  # fmt: skip
    lab.reopen()
    couch.put(database, closed("b", 2, gain=2.5))
    done = lab.take()
    assert (done.registered, done.known) == (1, 0), "what was seen before is not read again"
    couch.edit(database, "a", comment="nice")
    done = lab.take()
    assert (done.registered, done.known, done.changed) == (0, 1, 0), "what is not ours is no change"
    couch.edit(database, "a", status="closed", run={"number": 7})
    assert lab.take().changed == 1
    assert lab.items()["a"].params["number"] == 7


def test_many_documents_come_in_pages_and_none_is_missed(lab, couch, database, monkeypatch):
    monkeypatch.setattr("stoker.intake.sources.feed.PAGE", 7)
    couch.put(database, *(closed(f"d{n:03}", n + 1) for n in range(100)))
    assert lab.take().registered == 100
    assert lab.take().registered == 0


def test_what_happened_while_we_were_away_is_not_missed(lab, couch, database):
    couch.put(database, closed("a", 1))
    lab.take()
    lab.close()
    couch.kill()
    couch.start()
    couch.put(database, closed("b", 2), closed("c", 3))
    couch.edit(database, "c", status="void")
    lab.open()
    assert lab.take().registered == 1
    assert set(lab.items()) == {"a", "b"}


def test_a_bad_document_is_on_record_and_says_so_itself(lab, couch, database):
    couch.put(
        database,
        closed("a", 1),
        closed("bad", "many"),
        closed("low", 0),
        {"_id": "none", "status": "closed"},
    )
    done = lab.take()
    assert (done.registered, done.quarantined) == (1, 3)
    reasons = {row.item: row.reason for row in lab.items().values() if row.reason}
    assert reasons == {
        "bad": 'parameter `number` must be a whole number, not "many"',
        "low": "parameter `number` is 0 and must be at least 1",
        "none": "parameter `number` is required",
    }
    lab.progress.take()
    said = couch.get(database, "bad")
    assert said["status"] == "quarantined"
    assert said["stoker"]["runs"]["error"] == reasons["bad"]
    assert lab.take().quarantined == 0, "our own writing is nothing new"
    couch.edit(database, "bad", status="closed", run={"number": 5})
    assert lab.take().registered == 1
    lab.progress.take()
    said = couch.get(database, "bad")
    assert said["status"] == "waiting"
    assert "error" not in said["stoker"]["runs"]
    assert said["run"] == {"number": 5}


def test_retry_checks_a_bad_document_by_the_rules_of_now(lab, couch, database):
    couch.put(database, closed("low", 0), closed("bad", "many"))
    assert lab.take().quarantined == 2
    assert not lab.project.retry().changed
    assert {row.state for row in lab.items().values()} == {"quarantined"}
    file = lab.folder / "stoker.toml"
    file.write_text(file.read_text().replace("minimum = 1", "minimum = 0"))
    lab.reopen()
    assert lab.project.retry().changed == {"admit": 1}
    low, bad = lab.items()["low"], lab.items()["bad"]
    assert (low.params["number"], low.reason) == (0, None)
    assert bad.reason == 'parameter `number` must be a whole number, not "many"'


def test_each_step_leaves_its_record(lab, couch, database):
    couch.put(database, closed("a", 1, owner="jo"), closed("unlucky", 13))
    lab.project.run()
    good = couch.get(database, "a")
    assert good["owner"] == "jo"
    assert good["status"] == "done"
    assert list(good["stoker"]) == ["runs"]
    steps = good["stoker"]["runs"]["steps"]
    assert [steps[name]["state"] for name in ("convert", "analyse")] == ["done", "done"]
    convert = steps["convert"]
    assert convert["outputs"] == [
        {
            "name": "raw",
            "path": str(lab.folder / "raw/a.txt"),
            "size_bytes": 6,
            "checksum": lab.project.attempts("a", step="convert")[0].outputs[0].checksum,
        }
    ]
    assert convert["program"].startswith("echo run {params.number}")
    assert convert["host"] == lab.project.store.host
    assert convert["started_at"] <= convert["ended_at"]
    assert convert["exit_code"] == 0
    (attempt,) = lab.project.attempts("a", step="convert")
    assert convert["attempt"] == attempt.id
    bad = couch.get(database, "unlucky")
    assert bad["status"] == "failed"
    assert bad["stoker"]["runs"]["steps"]["convert"]["state"] == "failed"
    assert bad["stoker"]["runs"]["steps"]["convert"]["error"]
    assert bad["stoker"]["runs"]["steps"]["analyse"] == {"state": "blocked"}


def test_progress_is_written_once_and_only_where_it_belongs(lab, couch, database):
    couch.put(database, closed("a", 1), {"_id": "other", "status": "open"})
    lab.project.push("runs", ["other"], params={"number": 3})
    lab.project.run()
    revision = couch.get(database, "a")["_rev"]
    assert couch.get(database, "other")["status"] == "open", "it did not come from the feed"
    lab.take()
    lab.progress.take()
    lab.reopen()
    lab.progress.take()
    assert couch.get(database, "a")["_rev"] == revision


def test_other_peoples_fields_survive_our_writing(lab, couch, database, monkeypatch):
    """Others write to the document between our reading and our writing, again and again."""
    couch.put(database, closed("a", 1))
    lab.take()
    truly, times = Client.documents, iter(range(5))

    def documents(self, ids):
        found = truly(self, ids)
        for n in times:
            couch.edit(database, "a", **{f"note{n}": n})
            break
        return found

    monkeypatch.setattr(Client, "documents", documents)
    lab.progress.take()
    said = couch.get(database, "a")
    assert [said[f"note{n}"] for n in range(5)] == [0, 1, 2, 3, 4]
    assert said["status"] == "waiting"
    assert lab.progress.source.standing.trouble is None


def test_two_who_write_at_once_lose_nothing(lab, couch, database):
    names = [f"d{n}" for n in range(20)]
    couch.put(database, *(closed(name, 1) for name in names))
    lab.take()
    over = threading.Event()

    def others():
        n = 0
        while not over.is_set():
            for name in names:
                couch.edit(database, name, note=n)
            n += 1

    thread = threading.Thread(target=others)
    thread.start()
    try:
        lab.project.run()
        until = time.monotonic() + 60
        while lab.progress.take() and lab.progress.source.standing.trouble:
            assert time.monotonic() < until, lab.progress.source.standing.trouble
    finally:
        over.set()
        thread.join()
    for name in names:
        said = couch.get(database, name)
        assert said["status"] == "done"
        assert "note" in said


def test_no_end_of_a_step_is_lost_while_the_server_is_down(lab, couch, database):
    couch.put(database, closed("a", 1))
    lab.take()
    couch.kill()
    try:
        lab.project.run()
        lab.progress.take()
        assert "does not answer" in lab.progress.source.standing.trouble
        lab.take()
        assert "does not answer" in lab.taker.source.standing.trouble
        assert lab.progress.source._back_off.wait_s > 0
        lab.reopen()
    finally:
        couch.start()
    lab.progress.take()
    assert lab.progress.source.standing.trouble is None
    assert couch.get(database, "a")["status"] == "done"


def test_what_somebody_undid_is_written_again(lab, couch, database):
    couch.put(database, closed("a", 1))
    lab.project.run()
    document = couch.get(database, "a")
    del document["stoker"]
    couch.put(database, document | {"status": "closed"})
    assert lab.take().known == 1
    said = couch.get(database, "a")
    assert (said["status"], said["stoker"]["runs"]["state"]) == ("done", "done")


def test_a_document_that_is_deleted_stays_deleted(lab, couch, database):
    couch.put(database, closed("a", 1))
    lab.take()
    couch.put(database, couch.get(database, "a") | {"_deleted": True})
    lab.take()
    lab.progress.take()
    assert lab.progress.source.standing.trouble is None
    assert couch.http.get(couch.url(f"{database}/a")).status_code == 404
    assert set(lab.items()) == {"a"}


def test_another_database_under_the_same_url_is_read_from_its_beginning(lab, couch, database):
    couch.put(database, *(closed(f"d{n}", n + 1) for n in range(5)))
    lab.take()
    couch.http.delete(couch.url(database)).raise_for_status()
    couch.make(database)
    couch.put(database, closed("fresh", 1))
    lab.reopen()
    assert lab.take().registered == 1


def test_another_selector_looks_at_all_documents_anew(lab, couch, database):
    couch.put(database, closed("a", 1), closed("b", 2, status="ready"))
    lab.take()
    file = lab.folder / "stoker.toml"
    file.write_text(file.read_text().replace('"closed" }', '{ "$in" = ["closed", "ready"] } }'))
    lab.reopen()
    done = lab.take()
    assert (done.registered, done.known) == (1, 1)


def test_waiting_ends_with_a_change_and_with_the_end(lab, couch, database):
    lab.take()
    over = Over()
    found = threading.Event()

    def rest():
        lab.taker.source.rest(over)
        found.set()

    thread = threading.Thread(target=rest)
    thread.start()
    couch.put(database, closed("a", 1))
    assert found.wait(60)
    thread.join()
    assert lab.take().registered == 1
    found.clear()
    thread = threading.Thread(target=rest)
    thread.start()
    over.set()
    assert found.wait(60)
    thread.join()
    over.close()


@pytest.mark.parametrize("kind", ["files", "records"])
def test_a_key_may_be_made_of_the_document(tmp_path, couch, database, kind):
    text = FILE.replace('items = "records"', f'items = "{kind}"\nkey = "{{{{meta.document}}}}"')
    if kind == "files":
        text = text.replace("params.number =", 'path = "raw.file"\nparams.number =', 1)
    lab = Lab(tmp_path / "lab", couch.url(database), text)
    (lab.folder / "one.dat").write_text("x")
    couch.put(database, closed("a", 1, raw={"file": "one.dat"}))
    assert lab.take().registered == 1
    assert lab.items()["a"].meta["document"] == "a"
    couch.edit(database, "a", remark="looked at")
    done = lab.take()
    lab.close()
    assert (done.registered, done.changed) == (0, 0), "only parameters and files are content"


def test_files_that_documents_name_are_items(tmp_path, couch, database, monkeypatch):
    text = FILE.replace('items = "records"\n', "").replace(
        'params.number = "run.number"', 'params.number = "run.number"\npath = "raw.file"'
    )
    lab = Lab(tmp_path / "lab", couch.url(database), text)
    (lab.folder / "data").mkdir()
    (lab.folder / "data" / "one.dat").write_text("x")
    couch.put(
        database,
        closed("a", 1, raw={"file": "data/one.dat"}),
        closed("b", 1, raw={"file": "data/none.dat"}),
        closed("c", 1, raw={"file": 3}),
    )
    done = lab.take()
    assert (done.registered, done.refused) == (1, 2)
    assert lab.items()["data/one.dat"].meta["document"] == "a"
    said = "\n".join(done.messages)
    assert "document `b`: " in said
    assert "none.dat` is not there" in said
    assert "document `c`: its field `raw.file` has no path in it" in said
    (lab.folder / "data" / "none.dat").write_text("x")
    lab.reopen()
    lab.taker.source._again_s = time.monotonic() + 3600
    assert lab.take().registered == 0
    assert lab.taker.source.standing.trouble.count("document `") == 1, "it stays trouble"
    lab.taker.source._again_s = 0.0
    assert lab.take().registered == 1, "a file may come later than its document"
    assert lab.taker.source.standing.trouble is None
    lab.close()


def test_a_bad_document_of_a_file_says_so_itself_and_is_trouble_once(tmp_path, couch, database):
    text = FILE.replace('items = "records"\n', "").replace(
        'params.number = "run.number"',
        'params.number = "run.number"\npath = "raw.file"\nstates.quarantined = "bad"',
    )
    lab = Lab(tmp_path / "lab", couch.url(database), text)
    (lab.folder / "one.dat").write_text("x")
    couch.put(
        database,
        closed("many", "many", raw={"file": "one.dat"}, owner="jo"),
        closed("nowhere", 1, raw={"file": 3}),
    )
    done = lab.take()
    assert (done.registered, done.refused, len(done.messages)) == (0, 2, 2)
    assert lab.taker.source.standing.trouble is None
    said = couch.get(database, "many")
    assert (said["status"], said["owner"]) == ("bad", "jo")
    assert said["stoker"]["runs"] == {
        "state": "quarantined",
        "key": "many",
        "error": 'parameter `number` must be a whole number, not "many"',
        "steps": {},
    }
    assert "no path in it" in couch.get(database, "nowhere")["stoker"]["runs"]["error"]
    assert lab.take().refused == 0
    couch.edit(database, "many", status="closed", run={"number": 5})
    assert lab.take().registered == 1
    lab.progress.take()
    assert "error" not in couch.get(database, "many")["stoker"]["runs"]
    lab.close()


def test_states_are_in_the_groups_own_words_and_records_have_the_ends_of_logs(
    tmp_path, couch, database
):
    words = """
states.waiting = "closed"
states.done = "good"
states.failed = "{{step}} failed"
logs = true
"""
    text = FILE.replace('params.number = "run.number"\n', f'params.number = "run.number"{words}')
    text = text.replace(
        "[ {{params.number}} != 13 ]", "printf '%05000d' 1; [ {{params.number}} != 13 ]"
    )
    lab = Lab(tmp_path / "lab", couch.url(database), text)
    couch.put(database, closed("a", 1), closed("unlucky", 13))
    lab.take()
    lab.progress.take()
    assert couch.get(database, "a")["status"] == "closed"
    lab.project.run()
    good, bad = couch.get(database, "a"), couch.get(database, "unlucky")
    assert (good["status"], bad["status"]) == ("good", "convert failed")
    assert bad["stoker"]["runs"]["state"] == "failed"
    record = good["stoker"]["runs"]["steps"]["convert"]
    assert record["stdout_tail"] == "0" * 3999 + "1"
    assert "stderr_tail" not in record
    lab.reopen()
    revision = good["_rev"]
    lab.take()
    lab.progress.take()
    assert couch.get(database, "a")["_rev"] == revision
    lab.close()


def test_the_rules_for_files_hold_for_documents_too(tmp_path, couch, database):
    text = FILE.replace('items = "records"', 'validate = {{ min_size = "1" }}').replace(
        'params.number = "run.number"', 'params.number = "run.number"\npath = "raw"'
    )
    lab = Lab(tmp_path / "lab", couch.url(database), text)
    for name, content in (("full", "x"), ("empty", "")):
        (lab.folder / name).write_text(content)
        couch.put(database, closed(name, 1, raw=name))
    done = lab.take()
    assert (done.registered, done.quarantined) == (1, 1)
    lab.progress.take()
    assert couch.get(database, "empty")["stoker"]["runs"]["error"].startswith("it is empty")
    lab.close()


@pytest.fixture(scope="module")
def guarded():
    server = Couch(user="lab", password="p@ss:wörd")
    server.make("runs")
    server.put("runs", closed("a", 1))
    yield server
    server.close()


def test_the_password_comes_from_the_environment_or_a_file(guarded, tmp_path, monkeypatch):
    where = guarded.url("runs").removeprefix("http://")
    monkeypatch.setenv("COUCH_PASSWORD", "p@ss:wörd")
    lab = Lab(tmp_path / "one", f"http://lab:${{COUCH_PASSWORD}}@{where}")
    assert lab.take().registered == 1
    lab.close()
    secret = tmp_path / "password"
    secret.write_text("p@ss:wörd\n")
    secret.chmod(0o644)
    text = FILE.replace("selector =", f'password_file = "{secret}"\nselector =')
    lab = Lab(tmp_path / "two", f"http://lab@{where}", text)
    assert lab.take().registered == 0
    assert "chmod o= it" in lab.taker.source.standing.trouble
    secret.chmod(0o600)
    assert lab.take().registered == 1
    lab.close()


def test_a_wrong_account_is_told_without_the_password(guarded, tmp_path, monkeypatch):
    where = guarded.url("runs").removeprefix("http://")
    monkeypatch.setenv("COUCH_PASSWORD", "wrong-secret")
    lab = Lab(tmp_path / "lab", f"http://lab:${{COUCH_PASSWORD}}@{where}")
    lab.take()
    assert "does not let us in as `lab` (401)" in lab.taker.source.standing.trouble
    monkeypatch.delenv("COUCH_PASSWORD")
    lab.reopen()
    lab.take()
    assert (
        "`${COUCH_PASSWORD}`, which is not in the environment" in lab.taker.source.standing.trouble
    )
    lab.close()
    assert "wrong-secret" not in json.dumps(lab.taker.source.standing.trouble)


def test_a_url_without_a_database_is_told(couch):
    asked = Client(couch.url("nothing"))
    with pytest.raises(FeedTrouble, match="has no such database"):
        asked.changes(0, limit=1)
    asked.close()


class Stranger(BaseHTTPRequestHandler):
    """What answers is no CouchDB."""

    answer = (200, b"[]")

    def do_GET(self):
        code, body = self.answer
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b"<html>"), "does not answer as CouchDB does"),
        ((200, b"[]"), "does not answer as CouchDB does"),
        ((302, b""), "answers 302"),
        ((503, b""), "answers 503"),
    ],
    ids=["html", "list", "elsewhere", "unwell"],
)
def test_an_answer_of_something_else_is_told(answer, said):
    handler = type("Answering", (Stranger,), {"answer": answer})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        asked = Client(f"http://127.0.0.1:{server.server_port}/db")
        with pytest.raises(FeedTrouble, match=said):
            asked.changes(0, limit=1)
        asked.close()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def pair():
    """Two servers with a database `runs` each, replicating into each other for good."""
    servers = (Couch(), Couch())
    for server in servers:
        server.make("runs")
    urls = [server.url("runs") for server in servers]
    servers[0].replicate(urls[0], urls[1])
    servers[1].replicate(urls[1], urls[0])
    yield servers
    for server in servers:
        server.close()


def wait_until(condition, what):
    until_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until_s, what()
        time.sleep(0.05)


def has_all(server, names):
    return set(names) <= {row["id"] for row in server.get("runs", "_all_docs")["rows"]}


def test_two_sites_that_replicate_lose_no_progress(pair, tmp_path):
    """People edit the same documents on the other server, before and after we write to ours."""
    here, there = pair
    names = [f"d{n}" for n in range(12)]
    lab = Lab(tmp_path / "lab", here.url("runs"))
    there.put("runs", *(closed(name, 1) for name in names))
    wait_until(lambda: has_all(here, names), lambda: here.get("runs", "_all_docs"))
    lab.take()
    there.kill()
    lab.project.run()
    there.start()
    there.replicate(there.url("runs"), here.url("runs"))
    for name in names[::2]:  # the two sides differ now: whoever wins, neither knows of the other
        there.edit("runs", name, comment=f"seen {name}")

    def shown(server):
        return [server.get("runs", name, conflicts="true") for name in names]

    def is_settled():
        lab.take()
        lab.progress.take()
        ours, theirs = shown(here), shown(there)
        is_same = [one["_rev"] for one in ours] == [one["_rev"] for one in theirs]
        return is_same and all(one["status"] == "done" for one in ours)

    wait_until(
        is_settled, lambda: [shown(here), shown(there), lab.progress.source.standing.trouble]
    )
    for document in shown(there):
        assert document["stoker"]["runs"]["steps"]["analyse"]["state"] == "done"
    for document in shown(here)[::2]:
        losers = document.get("_conflicts", [])
        versions = [here.get("runs", document["_id"], rev=rev) for rev in losers]
        comments = [one.get("comment") for one in (document, *versions)]
        assert f"seen {document['_id']}" in comments, "nobody's words are gone"
    assert len(lab.project.attempts()) == 2 * len(names), "nothing was done twice"
    lab.close()
