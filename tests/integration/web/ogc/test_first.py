"""A public pipeline as a process, as a stranger uses it: seen, executed, watched, given up."""

import os
import signal
import time

import httpx
import pytest

from integration.web.conftest import LAB, service, wait_until, web_process


def test_a_job_is_found_at_once_and_has_its_results(lab):
    text = "a,b -5 \"q\" '$(id)' `x` \\ é\n"
    found = lab.execute("echo", {"inputs": {"text": text, "factor": 1e-10}})
    assert found.status_code == 201
    address = found.headers["location"]
    assert address.startswith(f"{lab.url}jobs/")
    assert lab.get(address).status_code == 200
    assert lab.wait_for(address)["status"] == "successful"
    results = lab.get(f"{address}/results", headers={"accept": "application/json"})
    assert results.json() == {"text": text, "seen": 1e-10}
    alone = lab.get(f"{address}/results/text")
    assert alone.text == text
    assert alone.headers["content-type"] == "text/plain; charset=utf-8"


def test_what_is_not_public_is_not_there_for_strangers(lab):
    assert [one["id"] for one in lab.get("processes").json()["processes"]] == [
        "echo",
        "tree",
        "two",
    ]
    for path in ("processes/hidden", "processes/none"):
        assert lab.get(path).status_code == 404
    assert lab.execute("hidden").status_code == 404
    assert lab.get("jobs").status_code == 401
    assert lab.get("jobs/0123456789abcdef0123456789abcdef").status_code == 404
    assert lab.get("jobs/hidden").status_code == 404


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ({"inputs": {"pause": "5"}}, ["pause"]),
        ({"inputs": {"pause": True}}, ["pause"]),
        ({"inputs": {"pause": 1.5}}, ["pause"]),
        ({"inputs": {"pause": -1, "factor": 1e7, "kind": "italic"}}, ["pause", "factor", "kind"]),
        ({"inputs": {"text": 5, "yes": "true", "words": "a,b"}}, ["text", "words", "yes"]),
        ({"inputs": {"words": ["a", 1]}}, ["words[1]"]),
        ({"inputs": {"words": ["a"] * 4}}, ["words"]),
        ({"inputs": {"text": None}}, ["text"]),
        ({"inputs": {"text": "\ud800"}}, ["text"]),
        ({"inputs": {"text": "a\0"}}, ["text"]),
        ({"inputs": {"text": {"href": "http://127.0.0.1/"}}}, ["text"]),
        ({"inputs": {"text": {"value": "x", "type": "wrong/type"}}}, ["text"]),
        ({"inputs": {"text": {"value": "x", "mediaType": "wrong/type"}}}, ["text"]),
        ({"inputs": {"tekst": "x"}}, ["tekst"]),
        ({"outputs": {"txet": {}}}, ["txet"]),
        ({"outputs": {"text": {"transmissionMode": "pigeon"}}}, ["text"]),
        ({"outputs": {"text": {"format": {"mediaType": "image/png"}}}}, ["text"]),
        ({"response": "cooked"}, ["response"]),
        ({"invalid-execute-request": "true)"}, ["invalid-execute-request"]),
        ({"inputs": []}, ["inputs"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else None,
)
def test_every_mistake_of_a_request_is_named(lab, body, inputs):
    found = lab.execute("echo", body)
    assert found.status_code == 400
    assert found.headers["content-type"] == "application/problem+json"
    assert sorted(one["input"] for one in found.json()["errors"]) == sorted(inputs)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"inputs":{"factor":NaN}}', "application/json", 400),
        (b'{"inputs":{"factor":1e999}}', "application/json", 400),
        (b'{"inputs":{"text":{"value":-1e999}}}', "application/json", 400),
        (b'{"inputs":{},"inputs":{}}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"inputs":{"pause":' + b"9" * 5000 + b"}}", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * (17 << 20), "application/json", 413),
    ],
    ids=[
        "empty",
        "list",
        "cut",
        "nan",
        "infinite",
        "value",
        "twice",
        "deep",
        "long",
        "bytes",
        "text",
        "large",
    ],
)
def test_a_body_that_is_no_request_is_refused(lab, content, kind, status):
    found = lab.client.post(
        "/processes/echo/execution", content=content, headers={"content-type": kind}
    )
    assert found.status_code == status, found.text


def test_a_body_that_is_compressed_is_refused_at_every_door(lab):
    """Nothing would unpack it: it would be stored, or read, as what it is not."""
    doors = [
        ("POST", "/processes/echo/execution", "application/json"),
        ("POST", "/api/v1/pipelines/echo/items", "application/json"),
        ("POST", "/uploads", "multipart/form-data; boundary=x"),
        ("PUT", "/uploads/f", "text/plain"),
        ("POST", "/sign-in", "application/x-www-form-urlencoded"),
    ]
    for method, path, kind in doors:
        headers = {"content-type": kind, "content-encoding": "gzip"}
        found = lab.client.request(method, path, content=b"{}", headers=headers)
        assert found.status_code == 415, (path, found.text)
        assert found.headers["accept-encoding"] == "identity"


def test_strict_numbers_are_data(lab):
    address = lab.done(text="-5", factor=3)
    assert lab.get(f"{address}/results", headers={"accept": "application/json"}).json() == {
        "text": "-5",
        "seen": 3.0,
    }


def test_a_running_job_that_is_given_up_ends_with_all_its_processes(lab):
    address = lab.submit(pause=597)
    lab.wait_for(address, "running")
    wait_until(lambda: running("sleep", "597"))
    found = lab.client.delete(address)
    assert found.status_code == 200
    assert found.json()["status"] == "dismissed"
    assert lab.get(address).json()["status"] == "dismissed"
    wait_until(lambda: not running("sleep", "597"), within_s=5)
    again = lab.client.delete(address)
    assert (again.status_code, again.json()["status"]) == (200, "dismissed")
    assert lab.get(f"{address}/results").status_code == 410


def running(*words):
    """Return the processes with this command line."""
    wanted = b"\0".join(word.encode() for word in words) + b"\0"
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if file.read() == wanted:
                    found.append(int(name))
        except OSError:
            continue
    return found


def test_a_failed_job_says_why(lab):
    address = lab.done(fails=True)
    status = lab.get(address).json()
    assert status["status"] == "failed"
    assert "it was asked to fail" in status["message"]
    found = lab.get(f"{address}/results")
    assert found.status_code == 500
    assert "it was asked to fail" in found.json()["detail"]


def test_a_result_that_could_run_is_never_shown_in_our_origin(lab):
    address = lab.done("two")
    page, raw = (lab.get(f"{address}/results/{name}") for name in ("page", "raw"))
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert (page.text, raw.content) == ("first\n", b"\x00\xff")


def test_unknown_query_parameters_are_errors(lab):
    found = lab.get("processes?limt=1&f=json")
    assert found.status_code == 400
    assert "did you mean `limit`" in found.json()["detail"]
    assert lab.get("processes?limit=1&limit=2").status_code == 400
    assert lab.get("processes?f=xml").status_code == 400


def test_the_service_comes_back_after_its_process_was_killed(tmp_path):
    (tmp_path / "stoker.toml").write_text(LAB)
    with service(tmp_path) as lab:
        address = lab.submit()
        web_process(lab.process.pid).kill()
        with httpx.Client(timeout=60) as other:  # waits for the next process; is not refused
            assert other.get(address).status_code == 200
            lab.client = other
            assert lab.wait_for(address)["status"] == "successful"
        began_s = time.monotonic()
        lab.process.send_signal(signal.SIGTERM)
        lab.process.wait(10)
        assert time.monotonic() - began_s < 5


def test_an_address_that_is_taken_is_a_mistake_of_the_user(tmp_path, lab):
    (tmp_path / "stoker.toml").write_text(LAB)
    port = lab.url.rstrip("/").rpartition(":")[2]
    with pytest.raises(AssertionError, match="--port 0"), service(tmp_path, port=port):
        pass


def test_nobody_listens_beyond_loopback_without_users(tmp_path):
    (tmp_path / "stoker.toml").write_text(LAB)
    with pytest.raises(AssertionError, match="no users"), service(tmp_path, "--host", "0.0.0.0"):
        pass


def test_owslib_uses_the_service(lab):
    pytest.importorskip("owslib")
    from owslib.ogcapi.processes import Processes

    client = Processes(lab.url)
    assert client.conformance()["conformsTo"]
    assert [one["id"] for one in client.processes()] == ["echo", "tree", "two"]
    assert client.process("echo")["inputs"]["text"]["title"] == "The text"
    job = client.execute("echo", inputs={"text": "from owslib"}, async_=True)
    assert job["status"] in ("accepted", "running", "successful")
