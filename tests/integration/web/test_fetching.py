"""Inputs by `{"href": …}`: fetched from hosts that the operator names, and from nowhere else."""

import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from integration.web.inside import inside
from integration.web.test_uploads import LAB, left
from stoker.web import outbound

FASTA = b">a\nMK\n"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["host"]))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # whoever asked wanted no more
            self.wfile.write(body)
            self.server.rest.wait(10 if self.path == "/slow" else 0)

    def log_message(self, *_):
        """Nothing is logged."""


@pytest.fixture(scope="module")
def elsewhere():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.asked, server.rest = [], threading.Event()
        server.at = f"http://localhost:{server.server_port}"
        server.answers = {
            "/data/a%20b.fa?x=1": (200, {"Content-Type": "text/plain; charset=utf-8"}, FASTA),
            "/plain": (200, {}, FASTA),
            "/away": (302, {"Location": f"{server.at}/plain"}, b""),
            "/zipped": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
            "/large": (200, {}, b"x" * 20_000),
            "/endless": (200, {"Content-Length": "999999999999"}, b"x" * 20_000),
            "/short": (200, {"Content-Length": "100"}, b"x"),
            "/slow": (200, {"Content-Length": "100"}, b"x"),
        }
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.rest.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    toml = LAB + '[web]\noutbound = ["localhost", "169.254.169.254", "gone.invalid"]\n'
    with inside(tmp_path_factory.mktemp("fetching"), toml=toml) as found:
        yield found


def execute(lab, item, more):
    inputs = {"item": item, "more": more}
    return lab.client().post("/processes/look/execution", json={"inputs": inputs})


def test_a_file_elsewhere_is_fetched_and_belongs_to_the_job(lab, elsewhere):
    asked = len(elsewhere.asked)
    found = execute(
        lab,
        {"href": f"{elsewhere.at}/data/a%20b.fa?x=1#top"},
        {"href": f"{elsewhere.at}/plain", "type": "text/plain"},
    )
    assert found.status_code == 201, found.text
    host = elsewhere.at.removeprefix("http://")
    assert elsewhere.asked[asked:] == [("/data/a%20b.fa?x=1", host), ("/plain", host)]
    key = found.json()["jobID"]
    got = lab.client().get(f"/jobs/{key}/inputs/item")
    assert got.content == FASTA
    assert "a%20b.fa" in got.headers["content-disposition"]
    assert lab.client().get(f"/jobs/{key}/inputs/more").content == FASTA


def test_many_at_once_refer_to_files_too(lab, elsewhere):
    good = {"item": {"href": f"{elsewhere.at}/plain"}}
    good["more"] = {"href": f"{elsewhere.at}/plain", "type": "text/plain"}
    bad = {**good, "item": {"href": f"{elsewhere.at}/none"}}
    body = {"items": [{"inputs": good}, {"inputs": bad}]}
    found = lab.client().post("/api/v1/pipelines/look/items", json=body).json()
    assert (found["accepted"], found["refused"]) == (1, 1)
    (error,) = found["items"][1]["errors"]
    assert (error["input"], error["rule"]) == ("item", "href")
    many = {"items": [{"inputs": bad}] * 11}
    refused = lab.client().post("/api/v1/pipelines/look/items", json=many).json()
    assert "at most 10" in refused["items"][10]["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/none", "answered 404"),
        ("/away", "answered 302; redirects are not followed"),
        ("/zipped", "compressed"),
        ("/large", "larger than the limit"),
        ("/endless", "larger than the limit"),
        ("/short", "did not answer"),
        ("/slow", "did not answer"),
    ],
)
def test_what_is_not_sent_as_it_should_be_is_named_and_nothing_stays(
    lab, elsewhere, path, words, monkeypatch
):
    monkeypatch.setattr(outbound, "FETCH_S", 0.5 if path == "/slow" else 30)
    before = left(lab)
    plain = {"href": f"{elsewhere.at}/plain", "type": "text/plain"}
    found = execute(lab, {"href": f"{elsewhere.at}{path}"}, plain)
    assert found.status_code == 400
    errors = {one["input"]: one["detail"] for one in found.json()["errors"]}
    assert words in errors.pop("item")
    assert set(errors) <= ({"more"} if path == "/slow" else set())  # they have one time together
    assert left(lab) == before  # also of the other, which had come


def test_all_files_of_a_request_have_one_time_together(lab, elsewhere, monkeypatch):
    monkeypatch.setattr(outbound, "FETCH_S", 0.6)
    slow = {"href": f"{elsewhere.at}/slow"}
    began_s = time.monotonic()
    found = execute(lab, slow, slow)
    assert {one["input"] for one in found.json()["errors"]} == {"item", "more"}
    body = {"items": [{"inputs": {"item": slow, "more": slow}}] * 5}
    answer = lab.client().post("/api/v1/pipelines/look/items", json=body)
    assert answer.json()["refused"] == 5
    assert time.monotonic() - began_s < 10 * 0.6


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/plain", "http://[::1]:{port}/plain", "http://0x7f.1:{port}/plain",
        "http://2130706433:{port}/plain", "http://[::ffff:127.0.0.1]:{port}/plain",
        "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://example.org/",
        "http://localhost.example.org/", "http://user:pw@localhost:{port}/plain",
        "file:///etc/passwd", "gopher://localhost/", "http://localhost:0/", "http://localhost:99999/",
        "http://localhost :{port}/", "http://gone.invalid/", "://x", "http://" + "a" * 3000,
    ],
)  # fmt: skip
def test_nothing_is_fetched_from_where_the_operator_allows_nothing(lab, elsewhere, url):
    asked, before = len(elsewhere.asked), left(lab)
    reference = {"href": url.format(port=elsewhere.server_port)}
    found = execute(lab, reference, reference)
    assert found.status_code == 400
    assert {one["input"] for one in found.json()["errors"]} == {"item", "more"}
    assert len(elsewhere.asked) == asked
    assert left(lab) == before


def test_an_address_of_ours_is_read_here(lab, elsewhere):
    asked = len(elsewhere.asked)
    client = lab.client()
    upload = client.put("/uploads/x.fa", content=FASTA, headers={"content-type": "text/plain"})
    reference = {"href": upload.headers["location"]}
    assert execute(lab, reference, reference).status_code == 201
    assert len(elsewhere.asked) == asked
