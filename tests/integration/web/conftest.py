"""A real service: `stoker up` on a free port, shared by the tests of a session, and one of one's own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

import servers

STOKER = str(Path(sys.executable).with_name("stoker"))
LIMIT_S = 60

LAB = """
[project]
name = "lab"

[web]
outbound = ["127.0.0.1"]
origins = ["https://lab.example.org"]

[pipelines.echo]
title = "Echo"
description = "Gives back **what it gets**."
items = "records"
[pipelines.echo.params]
text = { type = "string", default = "teststring", title = "The text" }
pause = { type = "integer", default = 0, minimum = 0, maximum = 600, unit = "s" }
factor = { type = "number", default = 1.0, maximum = 1e6 }
kind = { type = "choice", choices = ["plain", "bold"], default = "plain" }
words = { type = "list", items = "string", default = [], max_items = 3 }
yes = { type = "boolean", default = false }
fails = { type = "boolean", default = false }
[pipelines.echo.web]
public = true
[pipelines.echo.results]
text = "outputs.say.text"
seen = "values.say.seen"
[pipelines.echo.steps.say]
run = '''
echo begins
sleep {params.pause}
if [ {params.fails} = true ]; then echo "it was asked to fail" >&2; exit 3; fi
printf %s {params.text} > {out.text}
printf '{"seen": %s}' {params.factor} > "$STOKER_VALUES"
'''
outputs.text = { to = "out/{key}.txt", media = "text/plain", title = "The same text" }

[pipelines.two]
items = "records"
web.public = true
[pipelines.two.steps.first]
run = "echo first > {out.first}"
outputs.first = { to = "out/{key}.first", temp = true }
[pipelines.two.steps.second]
run = "cat {in.first.first} > {out.page}; printf '\\\\x00\\\\xff' > {out.raw}"
outputs.page = { to = "out/{key}.html" }
outputs.raw = { to = "out/{key}.bin" }

[pipelines.tree]
items = "records"
web.public = true
[pipelines.tree.steps.only]
run = '''
mkdir -p {out.tree}/in/side
printf one > {out.tree}/in/side/a.txt
printf two > {out.tree}/$'b \\xff.txt'
ln -s in/side/a.txt {out.tree}/link
for n in 1 2 3; do printf "$n" > $n.part; done
printf '{"n": 3}' > "$STOKER_VALUES"
'''
outputs.tree = { to = "out/{key}-tree/" }
outputs.parts = { from = "*.part", to = "out/{key}-parts/" }

[pipelines.hidden]
items = "records"
[pipelines.hidden.steps.only]
run = "true"
"""


@dataclass
class Service:
    """A service that runs, its project's folder, and a client that follows no redirect."""

    process: subprocess.Popen
    folder: Path
    url: str
    client: httpx.Client

    def get(self, path, **more):
        return self.client.get(path, **more)

    def execute(self, process, body=None, **headers):
        headers = {"content-type": "application/json", **headers}
        content = json.dumps(body or {})
        return self.client.post(f"/processes/{process}/execution", content=content, headers=headers)

    def submit(self, process="echo", body=None, **inputs):
        """Return the address of a new job."""
        body = body if body is not None else {"inputs": inputs}
        found = self.execute(process, body, prefer="respond-async")
        assert found.status_code == 201, found.text
        return found.headers["location"]

    def wait_for(self, address, *states, within_s=LIMIT_S):
        """Return the status of a job once it is in one of the states."""
        states = states or ("successful", "failed", "dismissed")
        found = {}

        def is_there():
            found.update(self.get(address).json())
            return found["status"] in states

        wait_until(is_there, within_s=within_s, dump=lambda: (found, self.log))
        return found

    def done(self, process="echo", body=None, **inputs):
        """Return the address of a job that is over."""
        address = self.submit(process, body, **inputs)
        self.wait_for(address)
        return address

    @property
    def log(self):
        return (self.folder / "up.log").read_text()


def wait_until(condition, *, within_s=LIMIT_S, dump=lambda: ""):
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, dump()
        time.sleep(0.02)


def commands_below(pid):
    """Return pairs of a process and its words, of all processes that began with this one.

    One that has ended, and that nobody has waited for yet, has no words.
    """
    found = []
    for one in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # also a zombie
            found.append((one, one.cmdline()))
    return found


def web_process(pid):
    """Return the process that serves the web for the service with this id."""
    (found,) = [one for one, words in commands_below(pid) if "stoker.web.serving" in words]
    return found


@contextmanager
def service(folder, *options, port="0", environment=None):
    """In the block, the project in this folder is served."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "up.log"
    words = [STOKER, "up", "--port", port, "--slots", "4", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STOKER")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            words, cwd=folder, stdout=file, stderr=file, env=kept | (environment or {})
        )
    try:
        found = None

        def listens():
            nonlocal found
            found = re.search(r"listens at (http://\S+)", log.read_text())
            return found is not None or process.poll() is not None

        wait_until(listens, dump=log.read_text)
        assert found is not None, log.read_text()
        with httpx.Client(base_url=found[1], timeout=LIMIT_S) as client:
            yield Service(process, folder, found[1], client)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(LIMIT_S)
        finally:
            process.kill()
            process.wait()
    assert process.returncode in (0, 130), log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A service with public pipelines and a hidden one; strangers may only use the public ones."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "stoker.toml").write_text(LAB)
    with service(folder) as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    """A browser, shared by the tests of a module."""
    program = shutil.which("chromium")
    if program is None:
        servers.unavailable("chromium is not installed: pages were not looked at in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
