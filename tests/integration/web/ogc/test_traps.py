"""What went wrong in services like this one, each tried here: traps 1 to 13 and 21 to 24 of their kind."""

import json
import re
import signal
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import psutil
import pytest

from integration.web.conftest import LAB, STOKER, commands_below, service, wait_until, web_process

SETSID = """
[pipelines.daemon]
items = "records"
web.public = true
[pipelines.daemon.steps.only]
run = '''
setsid --fork bash -c 'exec -a stray-of-a-job sleep 613'
python3 -c 'import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        os.environ.clear()
        os.execvp("sleep", ["stray-of-a-job", "614"])
time.sleep(0.2)'
sleep 615
'''
"""


@pytest.fixture(scope="session")
def strays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strays")
    (folder / "stoker.toml").write_text(SETSID)
    with service(folder) as found:
        yield found


def test_trap_1_a_job_is_found_as_soon_as_it_was_accepted(lab):
    def submit(_):
        with httpx.Client(base_url=lab.url, timeout=60) as client:
            found = client.post("processes/echo/execution", json={})
            assert found.status_code == 201
            return client.get(found.headers["location"]).status_code, found.headers["location"]

    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(submit, range(50)))
    assert {status for status, _ in found} == {200}
    assert len({address for _, address in found}) == 50


def test_trap_2_a_201_is_a_whole_status(lab):
    found = lab.execute("echo")
    assert found.json()["jobID"] == found.headers["location"].rpartition("/")[2]
    assert urlsplit(found.headers["location"]).scheme == "http"


def test_trap_4_results_of_jobs_without_any(lab):
    running = lab.submit(pause=300)
    lab.wait_for(running, "running")
    assert lab.get(running).json()["status"] == "running"
    found = lab.get(f"{running}/results")
    assert (found.status_code, found.json()["type"].rpartition("/")[2]) == (404, "result-not-ready")
    lab.client.delete(running)
    assert lab.get(f"{running}/results").status_code == 410
    failed = lab.done(fails=True)
    found = lab.get(f"{failed}/results")
    assert found.status_code == 500
    assert "Traceback" not in found.text
    assert lab.get(f"jobs/{'0' * 32}/results").json()["type"].endswith("/no-such-job")


def test_trap_5_the_same_outputs_at_once_and_later(echo):
    for response, accept in (("document", "application/json"), ("raw", "*/*")):
        body = {"inputs": {"text": "a,b"}, "outputs": {"text": {}}, "response": response}
        now = echo.execute("echo", body, accept=accept)
        assert now.status_code == 200, now.text
        address = re.search(r'<([^>]+)>; rel="monitor"', now.headers["link"])[1]
        later = echo.get(f"{address}/results", headers={"accept": accept})
        assert now.content == later.content
        assert now.headers["content-type"] == later.headers["content-type"]


def test_trap_12_pages_of_jobs_have_each_once_while_others_arrive(echo):
    for _ in range(4):
        echo.submit()
    before = [one["jobID"] for one in echo.get("/jobs?limit=10000").json()["jobs"]]
    for limit in (1, 3):
        address, seen = f"/jobs?limit={limit}&processID=echo,none", []
        while address is not None:
            found = echo.get(address).json()
            seen += [one["jobID"] for one in found["jobs"]]
            address = next((one["href"] for one in found["links"] if one["rel"] == "next"), None)
            if len(seen) < 6:
                echo.submit()  # above what was read
        assert [one for one in seen if one in before] == before
        assert len(seen) == len(set(seen))
    assert echo.get("/jobs?limit=10001").status_code == 400


def test_trap_23_times_of_any_zone_mean_the_same(echo):
    created = echo.done() and echo.get("/jobs?limit=1").json()["jobs"][0]["created"]
    moment = datetime.fromisoformat(created)
    for hours in (14, -10, 0, 5.75):
        zone = timezone(timedelta(hours=hours))
        text = moment.astimezone(zone).isoformat()
        found = echo.get("/jobs", params={"datetime": f"{text}/..", "limit": "10000"}).json()
        assert created in [one["created"] for one in found["jobs"]], text
        exact = echo.get("/jobs", params={"datetime": text}).json()["jobs"]
        assert {one["created"] for one in exact} == {created}


@pytest.mark.slow
def test_trap_6_no_process_of_a_job_that_was_given_up_lives_on(strays):
    def alive():
        return [
            one.pid
            for one in psutil.process_iter(["cmdline"])
            if one.info["cmdline"]
            and (one.info["cmdline"][0] == "stray-of-a-job" or one.info["cmdline"][1:] == ["615"])
        ]

    address = strays.submit("daemon")
    wait_until(lambda: len(alive()) == 3, dump=alive)
    assert strays.client.delete(address).json()["status"] == "dismissed"
    wait_until(lambda: not alive(), within_s=8, dump=alive)
    assert strays.client.delete(address).json()["status"] == "dismissed"
    assert strays.get(address).json()["status"] == "dismissed"


@pytest.mark.parametrize("origin", ["https://lab.example.org", "HTTPS://LAB.EXAMPLE.ORG"])
def test_trap_8_pages_of_named_origins_may_call(lab, origin):
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "prefer,authorization,idempotency-key,content-type",
    }
    found = lab.client.options("/processes/echo/execution", headers=headers)
    assert found.status_code == 204
    allowed = found.headers["access-control-allow-headers"].lower()
    assert {"prefer", "authorization", "idempotency-key"} <= set(allowed.split(", "))
    found = lab.execute("echo", origin=origin)
    shown = found.headers["access-control-expose-headers"].lower()
    assert {"location", "preference-applied", "link", "retry-after"} <= set(shown.split(", "))
    assert found.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in found.headers


def test_trap_8_pages_of_other_origins_may_not(lab):
    for origin in ("https://evil.example", "null", "https://lab.example.org.evil.example"):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        found = lab.client.options("/processes/echo/execution", headers=headers)
        assert "access-control-allow-origin" not in found.headers
        found = lab.get("processes", headers={"origin": origin})
        assert "access-control-allow-origin" not in found.headers


def test_a_client_that_polls_gets_the_same_state_once(lab):
    address = lab.done()
    first = lab.get(address)
    tag = first.headers["etag"]
    again = lab.get(address, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert lab.get(address, headers={"if-none-match": '"other"'}).status_code == 200
    lab.client.delete(address)
    assert lab.get(address, headers={"if-none-match": tag}).status_code == 404


def test_trap_10_forged_headers_change_no_link(lab):
    forged = {
        "host": "evil.example",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https, https",
        "x-forwarded-for": "8.8.8.8",
        "forwarded": "host=evil.example;proto=https",
        "x-original-url": "/evil",
    }
    for path in ("", "processes", "processes/echo", "api"):
        assert "evil" not in lab.get(f"/{path}", headers=forged).text
    found = lab.execute("echo", **forged)
    assert found.headers["location"].startswith(lab.url)
    assert "evil" not in found.text + str(found.headers)


@pytest.mark.parametrize(
    "path", ["", "conformance", "processes", "processes/echo", "api", "healthz"]
)
def test_trap_11_head_options_and_other_methods(lab, path):
    head, get = lab.client.head(f"/{path}"), lab.get(f"/{path}")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "vary"):
        assert head.headers.get(name) == get.headers.get(name)
    assert "GET" in lab.client.options(f"/{path}").headers["allow"]
    allowed = lab.client.options(f"/{path}").headers["allow"]
    for method in {"POST", "PUT", "DELETE", "PATCH", "TRACE"} - set(allowed.split(", ")):
        found = lab.client.request(method, f"/{path}")
        assert found.status_code == 405
        assert found.headers["allow"] == allowed
    assert lab.get(f"/{path}/").status_code == 200


def test_trap_13_a_signal_ends_all_who_wait_and_listen_at_once(tmp_path):
    """Running attempts get their time; clients do not wait for that. A second signal ends all."""
    text = LAB.replace("[pipelines.echo.web]\n", '[pipelines.echo.web]\nwait = "60s"\n')
    (tmp_path / "stoker.toml").write_text(text.replace("[web]\n", '[web]\nanonymous = "viewer"\n'))
    with service(tmp_path) as lab, ExitStack() as opened:

        def send(content):
            place = urlsplit(lab.url)
            made = socket.create_connection((place.hostname, place.port), timeout=30)
            opened.callback(made.close)
            made.sendall(content)
            return made

        body = b'{"inputs":{"pause":60}}'
        head = (
            "POST /processes/echo/execution HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=60\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        waiting = [send(head.encode() + body) for _ in range(20)]
        wait_until(lambda: any("sleep" in words for _, words in commands_below(lab.process.pid)))
        attempt = lab.get("/api/v1/attempts?state=running").json()["rows"][0]["id"]
        path = f"/api/v1/logs/stdout/follow?attempt={attempt}"
        ask = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        streams = [send(ask) for _ in range(100)]
        for one in streams:
            while b": following" not in one.recv(65_536):
                pass
        web = web_process(lab.process.pid)
        began_s = time.monotonic()
        lab.process.send_signal(signal.SIGTERM)
        for one in waiting:
            assert one.makefile("rb").readline().startswith(b"HTTP/1.1 201")
        for one in streams:
            while one.recv(65_536):
                pass
        web.wait(30)
        assert lab.process.poll() is None  # what runs has its ten seconds
        assert time.monotonic() - began_s < 6
        with pytest.raises(ConnectionRefusedError):
            send(b"")
        lab.process.send_signal(signal.SIGTERM)
        lab.process.wait(30)
        assert time.monotonic() - began_s < 9
        assert "rror" not in lab.log, lab.log


def test_trap_21_a_request_that_is_repeated_is_one_job(lab):
    body, key = {"inputs": {"text": "once"}}, f"key-{time.time_ns()}"

    def submit(_):
        with httpx.Client(base_url=lab.url, timeout=60) as client:
            headers = {"idempotency-key": key}
            return client.post("processes/echo/execution", json=body, headers=headers)

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(submit, range(100)))
    assert {one.status_code for one in found} == {201}
    assert len({one.json()["jobID"] for one in found}) == 1
    headers = {"idempotency-key": key}
    other = lab.execute("echo", {"inputs": {"text": "twice"}}, **headers)
    assert other.status_code == 422
    wrong = f"{key}-wrong"
    assert lab.execute("echo", {"inputs": {"pause": -1}}, **{"idempotency-key": wrong}).is_error
    assert lab.execute("echo", {}, **{"idempotency-key": wrong}).status_code == 201
    assert lab.execute("echo", {}, **{"idempotency-key": "x" * 300}).status_code == 400


def test_trap_22_nothing_is_open_that_is_not_public(lab):
    from stoker.web.app import resources
    from stoker.web.needs import Need

    seen = set()
    for resource in resources():
        for method, operation in resource.methods.items():
            path = re.sub(r"\{\w+(:\w+)?\}", "hidden", resource.path)
            found = lab.client.request(method, path, json={} if method != "GET" else None)
            seen.add(operation.need)
            if operation.need is Need.OWN:
                assert found.status_code in (400, 401, 404, 405, 415) or path == "/processes", path
                assert "hidden" not in found.text or found.is_error
            elif operation.need is not Need.NOTHING:
                assert found.status_code == 401, (method, path, found.status_code)
    assert seen >= {Need.NOTHING, Need.OWN, Need.VIEWER}
    assert lab.get("/metrics").status_code == 401


@pytest.mark.parametrize(
    "path",
    ["processes/a%2Fb", "processes/..%2f..", "processes/%00", "jobs/%FF", "jobs/a b", "processes/"
     + "x" * 1000, "jobs/processes", "processes/jobs", "%2e%2e/etc/passwd", "jobs/?f=json%00",
     "processes/échö", "processes/%E2%80%AEtxt", "jobs/" + "0" * 31],
)  # fmt: skip
def test_trap_24_odd_names_in_addresses_are_not_there(lab, path):
    found = lab.get(f"/{path}")
    assert found.status_code in (400, 401, 404)
    assert found.json()["status"] == found.status_code


# ---------------------------------------------------------------------------- behind nginx with TLS

NGINX = """
daemon off;
error_log {folder}/error.log;
pid {folder}/pid;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  gzip on;
  gzip_types application/json text/event-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    location /lab/stoker/ {{
      proxy_pass {to};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="session")
def upstream(tmp_path_factory):
    """A service whose addresses are those of a proxy, with certificates for one."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    certificate = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(
        ["openssl", "req", *certificate, *names, *files], check=True, capture_output=True
    )
    project = folder / "project"
    project.mkdir()
    web = f'url = "https://127.0.0.1:{port}/lab/stoker/"\n'
    web += 'anonymous = "viewer"\ntrusted_proxies = ["127.0.0.1"]\n'
    (project / "stoker.toml").write_text(LAB.replace("[web]\n", f"[web]\n{web}"))
    with service(project, port=str(free_port())) as found:
        yield folder, port, found


@pytest.fixture(scope="session", params=["/", ""], ids=["cut", "whole"])
def proxied(request, upstream):
    """A service below a path of nginx, which passes on the rest of the path, or all of it."""
    folder, port, served = upstream
    to, url = served.url.rstrip("/") + request.param, f"https://127.0.0.1:{port}/lab/stoker/"
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, to=to))
    trust = ssl.create_default_context(cafile=folder / "cert.pem")
    nginx = subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        with httpx.Client(verify=trust, timeout=60) as client:

            def answers():
                try:
                    return client.get(url).status_code == 200
                except httpx.TransportError:
                    return False

            log = Path(folder, "error.log")
            wait_until(answers, dump=lambda: log.read_text() if log.exists() else "")
            yield replace(served, client=client, url=url)
    finally:
        nginx.terminate()
        nginx.wait(30)


def test_trap_9_every_link_stays_below_the_path_of_the_proxy(proxied):
    created = proxied.client.post(f"{proxied.url}processes/echo/execution", json={})
    address = created.headers["location"]
    assert address.startswith(proxied.url)
    wait_until(lambda: proxied.client.get(address).json()["status"] == "successful")
    todo, seen = [proxied.url, f"{proxied.url}?f=html", f"{proxied.url}jobs?limit=1"], set()
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        found = proxied.client.get(
            here, headers={"accept": "application/json, text/html;q=0.5, */*;q=0.1"}
        )
        if "/execution" in here:
            assert found.status_code == 405
            continue
        assert found.status_code in (200, 204), (here, found.text)
        for link in links_in(found):
            whole = urljoin(here, link)
            assert whole.startswith(proxied.url), (here, whole)
            todo.append(whole.partition("#")[0])
    assert len(seen) > 15
    assert f"{address}/results/text" in seen or f"{address}/results" in seen


def links_in(found):
    kind = found.headers.get("content-type", "")
    if kind.startswith("text/html"):
        return [
            link.replace("&amp;", "&")
            for link in re.findall(r'(?:href|src|action)="([^"]*)"', found.text)
        ]
    if "json" not in kind or "openapi" in kind:
        return []
    return re.findall(r'"href": ?"([^"]*)"', json.dumps(found.json()))


def test_trap_10_a_doubled_protocol_of_the_proxy_is_read_well(proxied):
    found = proxied.client.get(proxied.url, headers={"x-forwarded-proto": "https, https"})
    assert found.status_code == 200
    assert all(one["href"].startswith("https://") for one in found.json()["links"])


def test_trap_13_a_stream_comes_at_once_through_a_proxy_that_buffers_and_compresses(proxied):
    created = proxied.client.post(
        f"{proxied.url}processes/echo/execution", json={"inputs": {"pause": 300}}
    )
    address = created.headers["location"]
    rows = f"{proxied.url}api/v1/attempts?pipeline=echo&state=running"
    wait_until(lambda: proxied.client.get(rows).json()["rows"])
    attempt = proxied.client.get(rows).json()["rows"][0]["id"]
    path = f"{proxied.url}api/v1/logs/stdout/follow?attempt={attempt}"
    with proxied.client.stream("GET", path, headers={"accept-encoding": "gzip"}) as found:
        lines = found.iter_lines()
        first = next(line for line in lines if line.startswith("data:"))
        assert json.loads(first[5:]) == {"start": 0, "text": "begins\n"}
        place = next(line for line in lines if line == "")
        assert proxied.client.get(address).json()["status"] == "running"
        assert proxied.client.delete(address).status_code == 200
        assert "event: end" in list(lines), place
    last = {"last-event-id": "3"}
    with proxied.client.stream("GET", path, headers=last) as again:
        (data,) = [line for line in again.iter_lines() if line.startswith('data: {"start')]
        assert json.loads(data[5:]) == {"start": 3, "text": "ins\n"}


def test_trap_24_keys_of_any_text_are_found_through_a_proxy(proxied):
    keys = [
        "a/b", "a%2Fb", "a//b", "a b", "q?x=1&y#z", "%25", "processes", "../up", "ключ-\u202eabc",
        "x" * 1000, "+", "a\\b", "';--", "<b>",
    ]  # fmt: skip
    words = [STOKER, "--project", proxied.folder, "push", "hidden", *keys]
    subprocess.run([one for one in words if one != "../up"], check=True, capture_output=True)
    for key in keys:
        params = {"key": key, "pipeline": "hidden"}
        found = proxied.client.get(f"{proxied.url}api/v1/show", params=params)
        if key == "../up":
            assert found.status_code == 404
            continue
        assert found.status_code == 200, (key, found.text)
        assert found.json()["item"]["item"] == key
        page = proxied.client.get(f"{proxied.url}item", params=params)
        assert page.status_code == 200, (key, page.text)
        listed = proxied.client.get(f"{proxied.url}api/v1/tasks", params={"key": key})
        assert [row["item"] for row in listed.json()["rows"]] == [key]
