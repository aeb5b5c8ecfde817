"""The abstract tests of OGC API - Processes - Part 1, 1.0, Annex A, each named by its number.

`docs/reference/ogc.md` has the table of these tests. They run against `examples/conformance`, as a
stranger without credentials, with the header that the official suite sends.
"""

import http.client
import json
import socket
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import urlsplit

import jsonschema
import pytest

from integration.web.ogc import schemas

ACCEPT = {"accept": "application/json"}
OGC = "http://www.opengis.net/def/rel/ogc/1.0"
CONF = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf"
TYPES = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
ASYNC = {"prefer": "respond-async"}


@pytest.fixture(scope="session")
def ended(echo):
    """The address of a job that was successful."""
    address = echo.execute("echo", **ASYNC).headers["location"]
    assert echo.wait_for(address)["status"] == "successful"
    return address


def valid(found, schema, status=200):
    assert found.status_code == status, found.text
    content = found.json()
    jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    return content


def plain(echo, address):
    """Get an address without `Accept`, as a client does that does not care."""
    request = echo.client.build_request("GET", address)
    del request.headers["accept"]
    return echo.client.send(request)


def links(content, rel):
    return [one for one in content["links"] if one["rel"] == rel]


def parts(found):
    """Return the parts of a framed answer by their content ids."""
    head = f"content-type: {found.headers['content-type']}\r\n\r\n".encode()
    whole = BytesParser(policy=HTTP).parsebytes(head + found.content)
    assert whole.is_multipart(), found.text
    return {one["content-id"].strip("<>"): one for one in whole.iter_parts()}


# ------------------------------------------------------------------------ landing page, conformance


def test_a01_landingpage_op(echo):
    found = echo.get(echo.url)
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json")


def test_a02_landingpage_success(echo):
    content = valid(echo.get(echo.url), schemas.LANDING_PAGE)
    for rel in ("service-desc", "service-doc", f"{OGC}/conformance", f"{OGC}/processes"):
        (one,) = links(content, rel)
        assert echo.get(one["href"]).status_code == 200


def test_a03_api_definition_op(echo):
    (one,) = links(echo.get(echo.url).json(), "service-desc")
    found = plain(echo, one["href"])
    assert found.status_code == 200
    assert found.headers["content-type"].replace(" ", "") == one["type"]


def test_a04_api_definition_success(echo):
    from openapi_spec_validator import validate

    content = plain(echo, f"{echo.url}api").json()
    validate(content)
    assert content["openapi"].startswith("3.0")
    assert '"$ref": "http' not in json.dumps(content)
    (page,) = links(echo.get(echo.url).json(), "service-doc")
    found = echo.get(page["href"])
    assert found.headers["content-type"].startswith("text/html")


def test_a05_conformance_op(echo):
    assert echo.get("conformance").status_code == 200


def test_a06_conformance_success(echo):
    content = valid(echo.get("conformance"), schemas.CONF_CLASSES)
    names = {one.rpartition("/")[2] for one in content["conformsTo"]}
    assert f"{CONF}/core" in content["conformsTo"]
    assert names == {
        *("core", "ogc-process-description", "json", "html", "oas30", "job-list", "callback"),
        "dismiss",
    }


def test_a07_http(echo):
    place = urlsplit(echo.url)
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        line = connection.makefile("rb").readline()
    assert line.startswith(b"HTTP/1.1 200")


# -------------------------------------------------------------------------------------- processes


def test_a08_process_list_op(echo):
    assert echo.get("processes").status_code == 200


def test_a09_pl_limit_definition(echo):
    assert echo.get("processes?limit=10").status_code == 200
    for limit in ("0", "-1", "10001", "ten", "1.0", "", "9" * 5000):
        assert valid(echo.get(f"processes?limit={limit}"), schemas.EXCEPTION, 400)


def test_a10_process_list_success(echo):
    content = valid(echo.get("processes"), schemas.PROCESS_LIST)
    assert [one["id"] for one in content["processes"]] == ["echo"]


def test_a11_pl_links(echo):
    content = echo.get("processes").json()
    (own,) = links(content, "self")
    (other,) = links(content, "alternate")
    assert own["type"] == "application/json"
    assert other["type"] == "text/html"
    assert echo.get(other["href"]).headers["content-type"].startswith("text/html")


def test_a12_pl_limit_response(echo):
    assert len(echo.get("processes?limit=1").json()["processes"]) == 1


def test_a13_process_op(echo):
    assert echo.get("processes/echo").status_code == 200


def test_a14_process_success(echo):
    content = valid(echo.get("processes/echo"), schemas.PROCESS)
    assert next(iter(content["inputs"])) == "text"
    (one,) = links(content, f"{OGC}/execute")
    assert one["href"] == f"{echo.url}processes/echo/execution"


def test_a15_process_exception_no_such_process(echo):
    content = valid(echo.get("processes/invalid-process"), schemas.EXCEPTION, 404)
    assert content["type"] == f"{TYPES}/no-such-process"
    found = echo.execute("invalid-process")
    assert valid(found, schemas.EXCEPTION, 404)["type"] == f"{TYPES}/no-such-process"


# --------------------------------------------------------------------------------------- execution


def test_a16_job_creation_op(echo):
    found = echo.execute("echo", {"inputs": {"text": "teststring"}}, **ASYNC)
    assert found.status_code == 201
    assert found.headers["location"].startswith(f"{echo.url}jobs/")
    valid(plain(echo, found.headers["location"]), schemas.STATUS_INFO)


def test_a16_with_the_blank_that_the_official_suite_sends(echo):
    connection = http.client.HTTPConnection(urlsplit(echo.url).netloc, timeout=60)
    headers = {"prefer": "respond-async ", "content-type": "application/json"}
    connection.request("POST", "/processes/echo/execution", b"{}", headers)
    assert connection.getresponse().status == 201
    connection.close()


@pytest.mark.parametrize(
    ("prefer", "status"),
    [
        ([], 200),
        (["RESPOND-ASYNC"], 201),
        (["respond-async, wait=10"], 200),
        (["respond-async", "wait=10"], 200),
        (["respond-sync"], 200),
        (["wait=9"], 200),
        (["handling=lenient"], 200),
        (["wait=nonsense, respond-async"], 201),
        (["wait=0"], 201),
    ],
)
def test_a17_job_creation_auto_execution_mode(echo, prefer, status):
    headers = [("accept", "application/json"), *(("prefer", one) for one in prefer)]
    found = echo.client.post("/processes/echo/execution", json={}, headers=headers)
    assert found.status_code == status, found.text
    assert "Prefer" in found.headers["vary"]


def test_a18_job_creation_default_execution_mode(echo):
    assert echo.execute("echo").status_code == 200


def test_a19_job_creation_request(echo):
    found = echo.execute("echo", {"inputs": {"text": "teststring"}, "outputs": {"text": {}}})
    assert (found.status_code, found.text) == (200, "teststring")


@pytest.mark.parametrize(
    "inputs", [{}, {"text": "teststring"}, {"text": {"value": "teststring"}, "factor": 2.5}]
)
def test_a20_a21_job_creation_inputs_inline(echo, inputs):
    body = {"inputs": inputs, "response": "document"}
    content = valid(echo.execute("echo", body), schemas.RESULTS)
    assert content == {"text": "teststring", "factor": inputs.get("factor", 1.0)}


def test_a22_job_creation_input_ref(echo):
    """A reference is only followed where the operator allows it; the echo names no hosts."""
    body = {"inputs": {"text": {"href": "https://example.org/teststring"}}}
    valid(echo.execute("echo", body), schemas.EXCEPTION, 400)


def test_a23_job_creation_input_array(lab):
    """The echo for the official suite has no array; a pipeline of ours has."""
    address = lab.done(words=["a", "b"])
    assert lab.get(f"{address}/inputs").json()["inputs"]["words"] == ["a", "b"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"bbox": [1, 2, 3, 4]}, id="a26_inline_bbox"),
        pytest.param({"a": 1}, id="a24_inline_object"),
        pytest.param([{"value": "x"}, "y"], id="a25_inline_mixed"),
        pytest.param({"value": "AAAA", "encoding": "base64", "mediaType": "image/png"}, id="a27"),
    ],
)
def test_a24_to_a27_inputs_of_other_kinds_are_refused(echo, value):
    valid(echo.execute("echo", {"inputs": {"text": value}}), schemas.EXCEPTION, 400)


def test_a27_job_creation_default_outputs(echo):
    assert set(echo.execute("echo", {"response": "document"}).json()) == {"text", "factor"}


@pytest.mark.parametrize(
    "value",
    [
        {"value": "teststring", "mediaType": "wrong/type"},
        {"value": "teststring", "format": {"mediaType": "wrong/type"}},
        {"value": "teststring", "type": "wrong/type"},
        {"type": "wrong/type"},
        5,
    ],
)
def test_a28_job_creation_input_validation(echo, value):
    found = echo.execute("echo", {"inputs": {"text": value}})
    valid(found, schemas.EXCEPTION, 400)
    assert found.headers["content-type"] == "application/json"
    good = echo.execute("echo", {"inputs": {"text": {"value": "teststring"}}})
    assert "teststring" in good.text


def test_a29_job_creation_success_sync_raw_value_one(echo):
    body = {"outputs": {"text": {"transmissionMode": "value"}}, "response": "raw"}
    found = echo.execute("echo", body)
    assert (found.status_code, found.text) == (200, "teststring")
    assert found.headers["content-type"] == "text/plain; charset=utf-8"


def test_a30_job_creation_success_sync_raw_value_multi(echo):
    found = parts(echo.execute("echo", {"response": "raw"}))
    assert found["text"].get_content() == "teststring"
    assert found["text"].get_content_type() == "text/plain"
    assert json.loads(found["factor"].get_payload(decode=True)) == 1.0
    assert found["factor"].get_content_type() == "application/json"


def test_a31_job_creation_success_sync_raw_ref(echo):
    """204 and links, as requirement 31 has it; the official suite wants 200 or 201."""
    body = {"outputs": {"text": {"transmissionMode": "reference"}}, "response": "raw"}
    found = echo.execute("echo", body)
    assert (found.status_code, found.content) == (204, b"")
    (address,) = [one["url"] for one in found.links.values() if one["url"].endswith("/text")]
    assert plain(echo, address).text == "teststring"


def test_a32_job_creation_success_sync_raw_mixed_multi(echo):
    body = {
        "outputs": {"text": {"transmissionMode": "reference"}, "factor": {}},
        "response": "raw",
    }
    found = parts(echo.execute("echo", body))
    assert found["text"].get_payload() in ("", "\r\n")
    assert plain(echo, found["text"]["content-location"]).text == "teststring"
    assert json.loads(found["factor"].get_payload(decode=True)) == 1.0


def test_a33_job_creation_success_sync_document(echo):
    body = {"outputs": {"text": {}, "factor": {}}, "response": "document"}
    found = echo.execute("echo", body)
    assert valid(found, schemas.RESULTS) == {"text": "teststring", "factor": 1.0}
    assert any(one.get("rel") == "monitor" for one in found.links.values())
    body["outputs"]["text"] = {"transmissionMode": "reference"}
    content = valid(echo.execute("echo", body), schemas.RESULTS)
    assert content["text"]["type"] == "text/plain"
    assert plain(echo, content["text"]["href"]).text == "teststring"


def test_a34_job_creation_success_async(echo):
    found = echo.execute("echo", **ASYNC)
    content = valid(found, schemas.STATUS_INFO, 201)
    assert found.headers["location"] == f"{echo.url}jobs/{content['jobID']}"
    assert found.headers["preference-applied"] == "respond-async"
    assert content["id"] == content["jobID"]


# -------------------------------------------------------------------------------------------- jobs


def test_a35_job_op(echo, ended):
    assert echo.get(ended).status_code == 200


def test_a36_job_success(echo, ended):
    content = valid(echo.get(ended), schemas.STATUS_INFO)
    assert content["progress"] == 100
    assert content["created"] <= content["started"] <= content["finished"] == content["updated"]


def test_a37_job_exception_no_such_job(echo):
    for name in ("invalid-job", "0" * 32, "%2e%2e", "é"):
        content = valid(echo.get(f"jobs/{name}"), schemas.EXCEPTION, 404)
        assert content["type"] == f"{TYPES}/no-such-job"


def test_a38_job_results_op(echo, ended):
    assert echo.get(f"{ended}/results").status_code == 200


def test_a39_job_results_success_sync(echo):
    found = echo.execute("echo", {"response": "document"})
    valid(found, schemas.RESULTS)
    assert 'rel="monitor"' in found.headers["link"]


def test_a40_job_results_async_raw_value_one(echo):
    body = {"outputs": {"text": {"transmissionMode": "value"}}, "response": "raw"}
    address = echo.execute("echo", body, **ASYNC).headers["location"]
    content = echo.wait_for(address)
    assert all(one["rel"] for one in content["links"])
    (one,) = links(content, f"{OGC}/results")
    assert one["type"]
    assert plain(echo, one["href"]).text == "teststring"


def test_a41_job_results_async_raw_value_multi(echo):
    address = echo.done("echo", {"response": "raw"})
    assert set(parts(plain(echo, f"{address}/results"))) == {"text", "factor"}


def test_a42_job_results_async_raw_ref(echo):
    body = {"outputs": {"text": {"transmissionMode": "reference"}}, "response": "raw"}
    found = plain(echo, f"{echo.done('echo', body)}/results")
    assert found.status_code == 204
    assert found.headers["link"]


def test_a43_job_results_async_raw_mixed_multi(echo):
    body = {
        "outputs": {"text": {"transmissionMode": "reference"}, "factor": {}},
        "response": "raw",
    }
    found = parts(plain(echo, f"{echo.done('echo', body)}/results"))
    assert found["text"]["content-location"].endswith("/results/text")


def test_a44_job_results_async_document(echo):
    address = echo.done("echo", {"response": "document"})
    content = valid(plain(echo, f"{address}/results"), schemas.RESULTS)
    assert content == {"text": "teststring", "factor": 1.0}


def test_a45_job_results_exception_no_such_job(echo):
    content = valid(echo.get("jobs/invalid-job/results"), schemas.EXCEPTION, 404)
    assert content["type"] == f"{TYPES}/no-such-job"


def test_a46_job_results_exception_results_not_ready(echo):
    address = echo.execute("echo", {"inputs": {"pause": 5}}, **ASYNC).headers["location"]
    content = valid(echo.get(f"{address}/results"), schemas.EXCEPTION, 404)
    assert content["type"] == f"{TYPES}/result-not-ready"
    echo.client.delete(address)


def test_a47_job_results_failed(echo, lab):
    found = echo.execute("echo", {"invalid-execute-request": "true)"})
    valid(found, schemas.EXCEPTION, 400)
    failed = lab.done(fails=True)
    content = valid(lab.get(f"{failed}/results", headers=ACCEPT), schemas.EXCEPTION, 500)
    assert "it was asked to fail" in content["detail"]


# -------------------------------------------------------------- the description, JSON, HTML, OpenAPI


def test_a48_to_a54_process_description(lab, echo):
    for one, name in ((echo, "echo"), (lab, "echo"), (lab, "two")):
        content = valid(one.get(f"processes/{name}"), schemas.PROCESS)
        for described in (*content["inputs"].values(), *content["outputs"].values()):
            schema = described["schema"]
            jsonschema.Draft7Validator.check_schema(schema)
            assert schema.get("type") or all(inner["type"] for inner in schema["oneOf"])
    words = lab.get("processes/echo").json()["inputs"]
    assert words["words"]["schema"]["maxItems"] == 3
    assert words["kind"]["schema"]["enum"] == ["plain", "bold"]


@pytest.mark.parametrize("path", ["", "conformance", "processes", "processes/echo", "jobs", "api"])
def test_a55_to_a57_json_and_html(echo, path):
    for query, accept, media in (
        ("", "application/json", "application/json"),
        ("?f=json", "text/html", "application/json"),
        ("", "text/html,application/xml;q=0.9", "text/html"),
        ("?f=html", "application/json", "text/html"),
    ):
        found = echo.get(f"/{path}{query}", headers={"accept": accept})
        assert found.status_code == 200
        assert found.headers["content-type"].startswith(media)
    assert echo.get(f"/{path}", headers={"accept": "image/png"}).status_code == 406


def test_a55_to_a57_json_and_html_of_a_job(echo, ended):
    for path in ("", "/results", "/inputs", "/logs", "/statistics"):
        page = echo.get(f"{ended}{path}", headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html"), path
        assert "<script" not in page.text.replace('<script src="', "")  # none within the page


def test_a58_to_a63_oas30(echo):
    content = plain(echo, f"{echo.url}api").json()
    for path, methods in content["paths"].items():
        for method, one in methods.items():
            if method == "parameters":
                continue
            assert {"400", "404"} <= set(one["responses"]) or path in ("/", "/api"), (path, method)
            assert one["responses"].keys() & {"200", "201"}
    assert {"/", "/api", "/conformance", "/processes", "/jobs"} <= set(content["paths"])


# ---------------------------------------------------------------------------------------- job list


def test_a64_job_list_op(echo, ended):
    assert echo.get("jobs").status_code == 200


def test_a65_to_a70_a72_job_list_definitions(echo, ended):
    for query in (
        "type=process", "processID=echo", "processID=echo,other", "status=successful",
        "status=accepted,running", "datetime=2026-11-30T00:00:00Z/..", "datetime=../2099-01-01T00:00:00Z",
        "datetime=/2099-01-01T00:00:00Z", "minDuration=0", "maxDuration=1.5", "limit=10000",
    ):  # fmt: skip
        valid(echo.get(f"jobs?{query}"), schemas.JOB_LIST)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=10001", "status=done", "type=job", "datetime=now", "datetime=../..",
        "datetime=2026-13-01T00:00:00Z", "datetime=2026-11-30", "minDuration=-1", "minDuration=x",
        "maxDuration=1e3", "datetime=2027-01-01T00:00:00Z/2026-01-01T00:00:00Z", "unknown=1",
        "status=", "after=x", "limit=1&limit=2", "minDuration=NaN",
    ],
)  # fmt: skip
def test_a65_to_a79_bad_values_of_the_job_list(echo, query):
    valid(echo.get(f"jobs?{query}"), schemas.EXCEPTION, 400)


def test_a71_job_list_success(echo, ended):
    content = valid(echo.get("jobs"), schemas.JOB_LIST)
    assert content["jobs"]
    assert all(one["processID"] == "echo" for one in content["jobs"])
    assert links(content, "self")
    assert links(content, "alternate")


def test_a73_to_a79_job_list_responses(echo):
    """Every filter gives what a look at all jobs gives."""
    echo.done()
    gone = echo.submit(pause=30)
    echo.wait_for(gone, "running")
    echo.client.delete(gone)
    every = all_jobs(echo, "limit=3")
    assert len(every) == len({one["jobID"] for one in every})
    assert [one["created"] for one in every] == sorted((o["created"] for o in every), reverse=True)
    middle = every[len(every) // 2]["created"]
    for query, wanted in (
        ("type=process", lambda one: True),
        ("processID=none", lambda one: False),
        ("processID=none,echo", lambda one: True),
        ("status=successful", lambda one: one["status"] == "successful"),
        ("status=dismissed&status=failed", lambda one: one["status"] in ("dismissed", "failed")),
        (f"datetime={middle}", lambda one: one["created"] == middle),
        (f"datetime={middle}/..", lambda one: one["created"] >= middle),
        (f"datetime=/{middle}", lambda one: one["created"] <= middle),
    ):
        found = [one["jobID"] for one in all_jobs(echo, f"{query}&limit=2")]
        assert found == [one["jobID"] for one in every if wanted(one)], query
    slow = [one["jobID"] for one in all_jobs(echo, "minDuration=3600")]
    assert slow == []


def all_jobs(echo, query):
    """Return all jobs by following the links, and hold that the way back is the same."""
    address, found, pages = f"jobs?{query}", [], []
    while address is not None:
        content = echo.get(address).json()
        pages.append([one["jobID"] for one in content["jobs"]])
        found += content["jobs"]
        last = content
        address = next((one["href"] for one in links(content, "next")), None)
    back = []
    while last is not None:
        back = [one["jobID"] for one in last["jobs"]] + back
        address = next((one["href"] for one in links(last, "prev")), None)
        last = echo.get(address).json() if address is not None else None
        if last is not None and not last["jobs"]:
            break
    assert back[-len(found) :] == [one["jobID"] for one in found] or not found
    return found


# ----------------------------------------------------------------------------------------- dismiss


def test_a81_job_dismiss_op(echo):
    address = echo.submit(pause=30)
    assert echo.client.delete(address).status_code == 200


def test_a82_job_dismiss_success(echo):
    address = echo.submit(pause=31)
    assert valid(echo.client.delete(address), schemas.STATUS_INFO)["status"] == "dismissed"
    assert valid(echo.get(address), schemas.STATUS_INFO)["status"] == "dismissed"
    again = valid(echo.client.delete(address), schemas.STATUS_INFO)
    assert again["status"] == "dismissed"
    assert echo.get(address).status_code == 200
    valid(echo.client.delete("jobs/invalid-job"), schemas.EXCEPTION, 404)


def test_dismiss_of_an_ended_job_removes_it_and_its_results(echo):
    address = echo.done("echo", {"inputs": {"text": "to be removed"}})
    key = address.rpartition("/")[2]
    file = echo.folder / "out" / f"{key}.txt"
    assert file.read_text() == "to be removed"
    for _ in range(3):  # repeated within a minute, it says the same
        content = valid(echo.client.delete(address), schemas.STATUS_INFO)
        assert (content["status"], content["jobID"]) == ("dismissed", key)
        assert echo.get(address).status_code == 404
        assert echo.get(f"{address}/results").status_code == 404
    assert not file.exists()
    assert key not in {one["jobID"] for one in all_jobs(echo, "limit=100")}


def test_a_result_that_somebody_changed_stays_when_its_job_is_removed(echo):
    address = echo.done()
    file = echo.folder / "out" / f"{address.rpartition('/')[2]}.txt"
    file.write_text("by hand")
    assert echo.client.delete(address).status_code == 200
    assert file.read_text() == "by hand"
