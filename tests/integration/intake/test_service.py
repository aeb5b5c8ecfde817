"""`stoker up` follows tables, commands and feeds: a person saves a file, and finds the answer."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager

from couch.server import Couch
from integration.cli.conftest import STOKER

LIMIT_S = 90
FILE = """
[pipelines.sort]
items = "records"
[pipelines.sort.params]
block = {{ type = "string", default = "" }}
gain = {{ type = "number", default = 1.0, maximum = 5 }}
[pipelines.sort.sources.blocks]
table = "blocks.tsv"
[pipelines.sort.sources.archive]
command = "cat names"
every = "0.2s"
[pipelines.sort.sources.runs]
feed = "{url}"
selector = {{ status = "closed" }}
[pipelines.sort.steps.show]
run = "echo {{params.gain}} > {{out.text}}"
outputs.text = "out/{{key}}.txt"
"""


@contextmanager
def service(folder):
    words = [STOKER, "up", "--slots", "2", "--no-web"]
    with (folder / "up.log").open("ab") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(LIMIT_S) in (0, 130), (folder / "up.log").read_text()
        finally:
            process.kill()
            process.wait()


def wait_until(condition, folder, process):
    until_s = time.monotonic() + LIMIT_S
    while not condition():
        is_alive = process.poll() is None and time.monotonic() < until_s
        assert is_alive, (folder / "up.log").read_text()
        time.sleep(0.05)


def says(path, text):
    return path.exists() and text in path.read_text()


def replace(path, text):
    """Save as editors do that write another file and rename it."""
    other = path.with_name(".other")
    other.write_text(text)
    os.replace(other, path)


def test_a_service_takes_from_tables_commands_and_feeds(tmp_path):
    server = Couch()
    try:
        url = server.make("runs")
        (tmp_path / "stoker.toml").write_text(FILE.format(url=url))
        (tmp_path / "names").write_text("from-archive\n")
        table, report = tmp_path / "blocks.tsv", tmp_path / "blocks.tsv.report"
        table.write_text("block\tgain\nPen1\t2\nPen2\t7\n")
        server.put("runs", {"_id": "run1", "status": "closed", "gain": 3})
        out = tmp_path / "out"
        with service(tmp_path) as up:
            wait_until(lambda: says(report, "1 taken, 1 refused"), tmp_path, up)
            wait_until(lambda: says(out / "Pen1.txt", "2"), tmp_path, up)
            wait_until(lambda: says(out / "from-archive.txt", "1"), tmp_path, up)
            wait_until(lambda: server.get("runs", "run1")["status"] == "done", tmp_path, up)
            replace(table, "block\tgain\nPen1\t2\nPen2\t4\n")
            wait_until(lambda: says(report, "2 taken, 0 refused"), tmp_path, up)
            wait_until(lambda: says(out / "Pen2.txt", "4"), tmp_path, up)
            server.put("runs", {"_id": "run2", "status": "closed"})
            wait_until(lambda: says(out / "run2.txt", "1"), tmp_path, up)
            (tmp_path / "names").write_text("from-archive\nsecond\n")
            wait_until(lambda: says(out / "second.txt", "1"), tmp_path, up)
            server.kill()
            (tmp_path / "names").write_text("third\n")
            wait_until(lambda: says(out / "third.txt", "1"), tmp_path, up)
        with service(tmp_path) as up:
            server.start()
            server.put("runs", {"_id": "run3", "status": "closed"})
            wait_until(lambda: server.get("runs", "run3")["status"] == "done", tmp_path, up)
            wait_until(lambda: server.get("runs", "run2")["status"] == "done", tmp_path, up)
    finally:
        server.close()
