"""`/api/v1`: the command line's words and JSON, for programs."""

import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from integration.web.inside import inside
from stoker.cli.outputs import OUTPUTS
from stoker.model.access import Role
from stoker.web.api import app
from stoker.web.api.app import operations

LAB = """
[project]
name = "lab"
[pools]
ram = 2
[pipelines.open]
items = "records"
web = { public = true, max_open = 200, per_minute = 10000 }
params.n = { type = "integer", default = 1, minimum = 1 }
params.word = { type = "string", default = "", pattern = "[a-z]*" }
steps.s.run = "echo out {params.n}; echo err >&2"
[pipelines.closed]
items = "records"
steps.s.run = "false"
"""
STOKER = str(Path(sys.executable).with_name("stoker"))


class Api:
    """A project in which something has happened, and clients of its API."""

    def __init__(self, lab):
        self.lab = lab
        self.tokens = {role: lab.token(role.word) for role in Role}

    def client(self, role=Role.ADMIN, **more):
        return self.lab.client(token=self.tokens[role], **more)

    def get(self, word, role=Role.ADMIN, **query):
        return self.client(role).get(f"/api/v1/{word}", params=query)

    def post(self, path, body, role=Role.OPERATOR):
        return self.client(role).post(f"/api/v1/{path}", json=body)

    def submit(self, *inputs, role=Role.SUBMITTER, pipeline="open", **more):
        items = [{"inputs": one} for one in inputs]
        return self.post(f"pipelines/{pipeline}/items", {"items": items, **more}, role)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    with inside(folder, toml=LAB) as lab:
        made = Api(lab)
        lab.project.push("open", ["one", "two/a b", "%2F?#", "ü"], params={"n": 2})
        lab.project.push("closed", ["bad"])
        lab.project.run()
        yield made


@pytest.fixture
def fresh(tmp_path):
    with inside(tmp_path, toml=LAB) as lab:
        yield Api(lab)


def printed(api, *words):
    """What the command prints, as values."""
    found = subprocess.run(
        [STOKER, *words, "--json", "--project", str(api.lab.file)],
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.mark.parametrize("word", ["items", "tasks", "attempts", "failures", "pools", "workers"])
def test_lists_have_the_json_of_the_command(api, word):
    words = {"pools": ["pool", "list"]}.get(word, [word])
    assert api.get(word).json()["rows"] == printed(api, *words)


def test_looks_have_the_json_of_the_command(api):
    ids = [row["id"] for row in api.get("attempts").json()["rows"]]
    assert [api.get("show", key="one").json()] == printed(api, "show", "one")
    assert [api.get("why", key="bad").json()] == printed(api, "why", "bad")
    assert api.get("logs", attempt=ids[0]).json() == printed(api, "logs", "one")[0]
    assert api.get("status").json().keys() == printed(api, "status")[0].keys()
    assert api.get("plan").json().keys() == printed(api, "plan")[0].keys()


@pytest.mark.parametrize("key", ["one", "two/a b", "%2F?#", "ü"])
def test_keys_of_any_kind_round_trip(api, key):
    assert api.get("show", key=key).json()["item"]["item"] == key
    assert [row["item"] for row in api.get("items", key=key).json()["rows"]] == [key]


def test_pages_cover_a_list_once(api):
    whole = [row["item"] for row in api.get("items").json()["rows"]]
    seen, after = [], None
    while True:
        page = api.get("items", limit=2, **({"next": after} if after else {})).json()
        seen += [row["item"] for row in page["rows"]]
        after = page["next"]
        if after is None:
            break
    assert seen == whole
    assert len(whole) == 5


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("items", {"limit": "0"}),
        ("items", {"limit": "10001"}),
        ("items", {"limit": "x"}),
        ("items", {"next": "nonsense"}),
        ("items", {"nope": "1"}),
        ("items", {"where": "(("}),
        ("items", {"state": "nice"}),
        ("items", {"pipeline": ""}),
        ("items", {"pipeline": "a\0"}),
        ("show", {"key": "\0"}),
        ("tasks", {"match": ""}),
        ("show", {}),
        ("show", {"key": "one", "extra": "1"}),
        ("users", {"x": "1"}),
        ("logs", {"attempt": "zz"}),
        ("logs/stdio", {"attempt": "a"}),
        ("logs/stdout/follow", {"attempt": "a", "start": "-1"}),
    ],
)
def test_what_is_wrong_is_400_and_says_what(api, path, query):
    answer = api.get(path, **query)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 400


def test_an_unknown_pipeline_or_item_is_404(api):
    for path, query in (
        ("show", {"key": "nobody"}),
        ("why", {"key": "nobody"}),
        ("which", {"path": "/nothing"}),
        ("status", {"pipeline": "nobody"}),
        ("nothing", {}),
    ):
        assert api.get(path, **query).status_code == 404


@pytest.mark.parametrize(
    "path", [f"/api/v1{one.path}" for one in operations() if one.method == "GET"]
)
def test_head_is_a_get_without_its_body(api, path):
    path = path.format(stream="stdout")
    if path.endswith("follow"):
        return
    attempt = api.get("attempts").json()["rows"][0]["id"]
    query = {"logs": {"attempt": attempt}, "show": {"key": "one"}, "why": {"key": "one"}}
    params = next((value for name, value in query.items() if name in path), {})
    client = api.client()
    got, headed = client.get(path, params=params), client.head(path, params=params)
    assert headed.status_code == got.status_code
    assert headed.content == b""
    assert headed.headers["content-type"] == got.headers["content-type"]


def test_methods_that_are_not_possible(api):
    answer = api.client().delete("/api/v1/items")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    answer = api.client().options("/api/v1/pools")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert api.client().get("/api/v1/items/").status_code == 200


# ------------------------------------------------------------------------------------------ ETags


def test_pollers_get_304_until_something_happens(fresh):
    fresh.submit({"n": 1})
    for word, query in (("items", {}), ("tasks", {}), ("attempts", {}), ("failures", {})):
        client = fresh.client(Role.VIEWER)
        tag = client.get(f"/api/v1/{word}", params=query).headers["etag"]
        headers = {"if-none-match": f'"other", {tag}'}
        answer = client.get(f"/api/v1/{word}", params=query, headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        fresh.submit({"n": 1})
        assert client.get(f"/api/v1/{word}", headers=headers).status_code == 200


def test_a_304_reads_no_item(fresh, monkeypatch):
    fresh.submit({"n": 1})
    client = fresh.client(Role.VIEWER)
    tag = client.get("/api/v1/items").headers["etag"]

    def broken(*_args, **_more):
        raise AssertionError

    monkeypatch.setattr(type(fresh.lab.project), "page_items", broken)
    assert client.get("/api/v1/items", headers={"if-none-match": tag}).status_code == 304


def test_what_changes_by_itself_is_compared_as_it_is(fresh):
    client = fresh.client(Role.VIEWER)
    tag = client.get("/api/v1/pools").headers["etag"]
    assert client.get("/api/v1/pools", headers={"if-none-match": tag}).status_code == 304
    fresh.post("pools/set", {"pool": "ram", "slots": 5}, Role.ADMIN)
    answer = client.get("/api/v1/pools", headers={"if-none-match": tag})
    assert (answer.status_code, len(answer.json()["rows"])) == (200, 5)


# ------------------------------------------------------------------------------------- submitting


def test_many_items_each_accepted_or_with_its_errors(fresh):
    answer = fresh.submit({"n": 1}, {"n": 0, "word": "A"}, {"n": "1"}, {"nn": 1}, {"word": "-"})
    assert answer.status_code == 201
    found = answer.json()
    assert (found["accepted"], found["refused"]) == (1, 4)
    rules = [[error["rule"] for error in one["errors"]] for one in found["items"]]
    assert rules == [[], ["minimum", "pattern"], ["type"], ["unknown"], ["pattern"]]
    (row,) = fresh.get("items").json()["rows"]
    assert row["item"] == found["items"][0]["item"]
    assert row["by"] == "a-submitter"
    assert fresh.client().get(found["items"][0]["location"]).status_code == 200
    assert fresh.lab.registered == 1


def test_all_or_none(fresh):
    answer = fresh.submit({"n": 1}, {"n": 0}, atomic=True)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [one["item"] for one in answer.json()["items"]] == [None, None]
    assert fresh.get("items").json()["rows"] == []
    assert fresh.submit({"n": 0}).status_code == 422
    assert fresh.submit({"n": 1}, {"n": 2}, atomic=True).json()["accepted"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{}] * 2001},
        {"items": {}},
        {"items": [[]]},
        {"items": [{"inputs": []}]},
        {"items": [{"input": {}}]},
        {"items": [{}], "atomic": "yes"},
        {"items": [{}], "atomic": 1},
        {"items": [{"priority": "1"}]},
        {"items": [{"priority": 1_000_001}]},
        [],
        "x",
        7,
    ],
)
def test_bodies_that_are_none_are_400(api, body):
    answer = api.post("pipelines/open/items", body)
    assert answer.status_code == 400, answer.text
    assert len(answer.text) < 5_000


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"items": [{}]}', "text/plain", 415),
        (b'{"items": [{}]}', "", 415),
        (b"[" * 200_000, "application/json", 400),
        (b'{"items": [{"inputs": {"n": NaN}}]}', "application/json", 400),
        (b'{"items": [{"inputs": {"n": 1e999}}]}', "application/json", 400),
        (b'{"items": [{"inputs": {"n": 1, "n": 2}}]}', "application/json", 400),
        (b'{"items": [{"inputs": {"word": ' + b"[" * 200_000, "application/json", 400),
        (b'{"items": [{"inputs": {"word": "\\ud800"}}]}', "application/json", 422),
        (b" " * 17_000_000, "application/json", 413),
    ],
)
def test_content_that_is_hostile(api, content, kind, status):
    headers = {"content-type": kind} if kind else {}
    client = api.client(Role.OPERATOR)
    answer = client.post("/api/v1/pipelines/open/items", content=content, headers=headers)
    assert answer.status_code == status, answer.text[:500]


def test_who_may_submit_where(fresh):
    stranger = fresh.lab.client()
    path = "/api/v1/pipelines/{}/items"
    assert stranger.post(path.format("open"), json={"items": [{}]}).status_code == 201
    assert stranger.post(path.format("closed"), json={"items": [{}]}).status_code == 404
    assert stranger.post(path.format("nothing"), json={"items": [{}]}).status_code == 404
    assert fresh.submit({}, pipeline="closed", role=Role.VIEWER).status_code == 403
    assert fresh.submit({}, pipeline="closed").status_code == 201
    urgent = {"items": [{"priority": 5}]}
    assert fresh.post("pipelines/open/items", urgent, Role.SUBMITTER).status_code == 403
    assert fresh.post("pipelines/open/items", urgent).status_code == 201
    assert fresh.get("items", by="a-operator").json()["rows"][0]["priority"] == 5


def test_limits_are_each_client_s(fresh):
    assert fresh.submit(*[{}] * 150).status_code == 201
    answer = fresh.submit(*[{}] * 51)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert fresh.submit(*[{}] * 50).status_code == 201
    assert fresh.submit({}, role=Role.OPERATOR).status_code == 201
    one, other = (fresh.lab.client(f"10.0.0.{n}") for n in (1, 2))
    body = {"items": [{}] * 200}
    for client in (one, other):
        assert client.post("/api/v1/pipelines/open/items", json=body).status_code == 201
    assert one.post("/api/v1/pipelines/open/items", json={"items": [{}]}).status_code == 429


def test_an_accepted_item_is_found_at_once(fresh):
    def submit():
        address = fresh.submit({}).json()["items"][0]["item"]
        found.append(fresh.lab.project.show(address).item.item == address)

    found = []
    for _ in range(20):
        submit()
    assert found == [True] * 20


# --------------------------------------------------------------------------------------- changing


def test_verbs_change_what_is_selected(fresh):
    keys = [one["item"] for one in fresh.submit({}, {}, {}).json()["items"]]
    wanted = {"selection": {"keys": keys[:2]}, "reason": "lunch"}
    dry = fresh.post("hold", {**wanted, "dry_run": True}).json()
    assert (dry["changed"], dry["dry_run"]) == ({"hold": 2}, True)
    assert fresh.post("hold", wanted).json()["changed"] == {"hold": 2}
    states = {row["item"]: row["state"] for row in fresh.get("tasks").json()["rows"]}
    assert [states[key] for key in keys] == ["held", "held", "ready"]
    said = fresh.get("show", key=keys[0]).json()["happenings"][-1]
    assert (said["by"], said["reason"]) == ("a-operator", "lunch")
    assert fresh.post("release", {"selection": {}}).json()["changed"] == {"release": 2}
    first = {"selection": {"keys": keys[2:]}, "priority": 7, "reason": "urgent"}
    assert fresh.post("priority", first, Role.SUBMITTER).status_code == 403
    assert fresh.post("priority", first).json()["changed"] == {"priority": 1}
    assert fresh.get("tasks", key=keys[2]).json()["rows"][0]["priority"] == 7
    assert fresh.get("show", key=keys[2]).json()["happenings"][-1]["reason"] == "urgent"
    assert fresh.post("priority", {**first, "priority": 10**7}).status_code == 400
    assert fresh.post("cancel", {"selection": {"states": ["ready"]}}).json()["changed"]
    assert fresh.post("rerun", {"selection": {}, "outdated": True}).json()["changed"] == {}
    assert fresh.post("retry", {"selection": {"match": "x"}}).json()["changed"] == {}


def test_a_submitter_cancels_only_what_is_theirs(fresh):
    own = fresh.submit({}).json()["items"][0]["item"]
    other = fresh.submit({}, role=Role.OPERATOR).json()["items"][0]["item"]
    body = {"selection": {"by": "a-operator"}}
    assert fresh.post("cancel", body, Role.SUBMITTER).status_code == 403
    done = fresh.post("cancel", {"selection": {}}, Role.SUBMITTER).json()
    assert done["changed"] == {"cancel": 1}
    states = {row["item"]: row["state"] for row in fresh.get("tasks").json()["rows"]}
    assert states == {own: "cancelled", other: "ready"}


def test_a_selection_has_to_be_written(fresh):
    """An empty body is a mistake, and would otherwise be everything."""
    fresh.submit({})
    for body in ({}, {"reason": "x"}, {"selection": None}, {"selection": {"key": "x"}}):
        assert fresh.post("cancel", body).status_code == 400
    assert fresh.get("tasks").json()["rows"][0]["state"] == "ready"


def test_admins_manage_users_and_tokens(fresh):
    admin = Role.ADMIN
    anna = {"name": "anna", "role": "operator", "password": "correct horse"}
    assert fresh.post("users/create", anna, admin).json()["role"] == "operator"
    assert fresh.post("users/create", anna, admin).status_code == 409
    assert fresh.post("users/create", {**anna, "password": "short"}, admin).status_code == 400
    assert fresh.post("users/create", {"name": "a/b"}, admin).status_code == 400
    made = fresh.post("tokens/create", {"name": "x", "user": "anna", "expires_s": 60}, admin)
    assert made.headers["cache-control"] == "no-store"
    client = fresh.lab.client(token=made.json()["token"])
    assert client.get("/api/v1/items").status_code == 200
    assert fresh.post("users/set", {"name": "anna"}, admin).status_code == 400
    assert fresh.post("users/set", {"name": "anna", "role": "viewer"}, admin).is_success
    assert client.post("/api/v1/cancel", json={"selection": {}}).status_code == 403
    link = fresh.post("users/link", {"name": "anna"}, admin).json()["url"]
    assert "Sign in as anna" in fresh.lab.client().get(link).text
    assert fresh.post("tokens/revoke", {"name": "x"}, admin).is_success
    assert client.get("/api/v1/items").status_code == 401
    assert fresh.post("users/remove", {"name": "anna", "dry_run": True}, admin).is_success
    assert [row["name"] for row in fresh.get("users").json()["rows"]] == ["anna"]
    assert fresh.post("users/remove", {"name": "anna"}, admin).is_success
    assert fresh.post("users/remove", {"name": "anna"}, admin).status_code == 404
    assert [row["name"] for row in fresh.get("tokens").json()["rows"]].count("x") == 0


# ------------------------------------------------------------------------------------------- logs


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    text = """
[pipelines.p]
items = "records"
steps.s.run = "printf 'ü%s' 0123456789; for i in 1 2 3; do sleep 0.4; echo $i; done"
"""
    with inside(tmp_path_factory.mktemp("noisy"), toml=text) as lab:
        made = Api(lab)
        lab.project.push("p", ["x"])
        working = threading.Thread(target=lab.project.run)
        working.start()
        made.running = wait_for(lambda: made.get("attempts", state="running").json()["rows"])
        made.followed = follow(made, made.running[0]["id"])
        working.join()
        yield made


def wait_for(look):
    until_s = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return found


def follow(api, attempt, **more):
    """The events of a stream, once it has ended."""
    answer = api.client(Role.VIEWER).get(
        "/api/v1/logs/stdout/follow", params={"attempt": attempt}, **more
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [part for part in answer.text.split("\n\n") if part and not part.startswith(":")]
    return [dict(line.split(": ", 1) for line in event.splitlines()) for event in events]


WHOLE = "ü01234567891\n2\n3\n"


def test_what_is_written_is_followed_to_its_end(noisy):
    *pieces, last = noisy.followed
    assert last["event"] == "end"
    assert "".join(json.loads(one["data"])["text"] for one in pieces) == WHOLE
    assert last["id"] == str(len(WHOLE.encode()))


def test_a_broken_stream_goes_on_where_it_was(noisy):
    attempt = noisy.running[0]["id"]
    (piece, _end) = follow(noisy, attempt, headers={"last-event-id": "12"})
    assert json.loads(piece["data"]) == {"start": 12, "text": "1\n2\n3\n"}
    (end,) = follow(noisy, attempt, headers={"last-event-id": "999"})
    assert end["event"] == "end"


@pytest.mark.parametrize(
    ("asked", "status", "content", "where"),
    [
        (None, 200, WHOLE, None),
        ("bytes=0-3", 206, "ü01", "bytes 0-3/18"),
        ("bytes=12-", 206, "1\n2\n3\n", "bytes 12-17/18"),
        ("bytes=-4", 206, "2\n3\n", "bytes 14-17/18"),
        ("bytes=-400", 206, WHOLE, "bytes 0-17/18"),
        ("bytes=17-99", 206, "\n", "bytes 17-17/18"),
        ("bytes=18-", 416, None, "bytes */18"),
        ("bytes=5-3", 200, WHOLE, None),
        ("bytes=-", 200, WHOLE, None),
        ("lines=1-2", 200, WHOLE, None),
        ("bytes=0-1,3-4", 200, WHOLE, None),
    ],
)
def test_ranges_of_a_log(noisy, asked, status, content, where):
    headers = {} if asked is None else {"range": asked}
    attempt = {"attempt": noisy.running[0]["id"]}
    answer = noisy.client().get("/api/v1/logs/stdout", params=attempt, headers=headers)
    assert (answer.status_code, answer.headers.get("content-range")) == (status, where)
    if content is not None:
        assert answer.content.decode() == content
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_unknown_attempt_has_no_log(noisy):
    for path in ("logs", "logs/stdout", "logs/stdout/follow"):
        assert noisy.get(path, attempt="0" * 32).status_code == 404


# --------------------------------------------------------------------------------------- documents


def test_the_documents_are_valid_and_complete(api):
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

    client = api.lab.client()
    for name, validator in (
        ("openapi.json", OpenAPIV31SpecValidator),
        ("openapi-3.0.json", OpenAPIV30SpecValidator),
    ):
        answer = client.get(f"/api/v1/{name}")
        assert answer.status_code == 200
        made = answer.json()
        validator(made).validate()
        refs = set(find_refs(made))
        assert all(ref.startswith("#/components/") for ref in refs)
        assert made["servers"] == [{"url": "http://127.0.0.1:8420/api/v1"}]
        known = {(path, method.upper()) for path, of in made["paths"].items() for method in of}
        assert known == {(one.path, one.method) for one in operations()}


def find_refs(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from find_refs(one)
    elif isinstance(value, list):
        for one in value:
            yield from find_refs(one)


@pytest.mark.parametrize("word", ["items", "tasks", "attempts", "show", "status", "why"])
def test_answers_have_the_schema_of_the_command(api, word):
    """What the reference of the JSON says of a command holds here too."""
    import jsonschema

    from stoker.cli.outputs import schema_of

    query = {"key": "one"} if word in ("show", "why") else {}
    found = api.get(word, **query).json()
    schema = schema_of(OUTPUTS[word].kind)
    for one in found["rows"] if OUTPUTS[word].is_lines else [found]:
        jsonschema.validate(one, schema)


def test_the_page_of_the_api_needs_nothing_from_elsewhere(api):
    client = api.lab.client()
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "unsafe" not in page.headers["content-security-policy"]
    names = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(names) == 4
    for name in names:
        answer = client.get(name)
        assert answer.status_code == 200
        if name.startswith("/api/docs/"):
            assert "immutable" in answer.headers["cache-control"]
    assert "://" not in page.text
    assert client.get("/api/docs/nothing.js").status_code == 404
    assert client.get("/api/docs/..%2f..%2fapp.py").status_code == 404


def test_files_of_other_projects_are_those_of_the_lock():
    static = Path(app.__file__).parents[1] / "static"
    lock = json.loads((static / "vendor.lock.json").read_text("utf-8"))
    assert {path.name for path in (static / "vendor").iterdir()} == set(lock)
    for name, one in lock.items():
        content = (static / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"], name
