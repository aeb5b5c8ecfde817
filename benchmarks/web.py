"""The web service beside the bare framework: submissions, the way to a command's start, polls, streams.

    python benchmarks/web.py [--seconds 5] [--clients 8] [--pollers 1000] [--streams 200]
                             [--soak 20] [--megabytes 512] [--realtime]

Every figure is printed beside its baseline of the same run. A submission is durable when it is answered.
The baseline of submissions answers the same body from the same framework and server, and stores
nothing; that of uploads is `cp` with a wait for the disk, and then SHA-256, of the same file on the same
disk. Polls are measured alone, and then beside streams for `--soak` seconds, in which the memory of the web
process is watched. Those who poll are processes of their own. With `--realtime`, as root, all of it goes
before what else the machine does, as on an idle one.
"""

import argparse
import asyncio
import contextlib
import hashlib
import http.client
import json
import multiprocessing
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

STOKER = str(Path(sys.executable).with_name("stoker"))
PROJECT = """
[web]
anonymous = "viewer"
[pipelines.nothing]
items = "records"
web.public = true
params.n = { type = "integer", default = 0 }
[pipelines.nothing.steps.only]
argv = ["true"]
needs = ["nowhere"]
[pipelines.clock]
items = "records"
web.public = true
[pipelines.clock.steps.only]
run = 'date +%s.%N > {out.at}'
outputs.at = { to = "at/{key}", media = "text/plain" }
[pipelines.talk]
items = "records"
web.public = true
[pipelines.talk.steps.only]
run = 'while sleep 1; do date +%s.%N; done'
[pipelines.files]
web.public = true
[pipelines.files.steps.only]
run = "true"
"""
BARE = """
import sys, uvicorn
from fastapi import FastAPI
from starlette.responses import Response
app = FastAPI()
body = open(sys.argv[2], "rb").read()
@app.post("/processes/nothing/execution")
async def answer(content: dict) -> Response:
    return Response(body, 201, media_type="application/json")
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
"""
HEADERS = {"Content-Type": "application/json"}
POLLING = 2  # processes
CONNECT_S = 1.0  # in which all who poll connect, before the first of them asks
_processes = multiprocessing.get_context("spawn")


def rate(url: str, clients: int, seconds: float) -> float:
    """Return the requests a second that so many clients get answered, each on its own connection."""
    place, over = urlsplit(url).netloc, time.monotonic() + seconds
    counts: list[int] = []

    def ask() -> None:
        connection, n = http.client.HTTPConnection(place, timeout=60), 0
        while time.monotonic() < over:
            body = json.dumps({"inputs": {"n": n}})
            connection.request("POST", "/processes/nothing/execution", body, HEADERS)
            found = connection.getresponse()
            found.read()
            assert found.status == 201, found.status
            n += 1
        counts.append(n)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def starts(url: str, n: int) -> list[float]:
    """Return the seconds from sending a request to the start of its command, one after the other."""
    place, found = urlsplit(url).netloc, []
    connection = http.client.HTTPConnection(place, timeout=60)

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, Any]:
        connection.request(method, path, body, HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    for _ in range(n):
        time.sleep(0.3)
        sent_s = time.time()
        _, _, headers = ask("POST", "/processes/clock/execution", b"{}")
        path = urlsplit(headers["Location"]).path
        while ask("GET", f"{path}/results")[0] == 404:
            time.sleep(0.05)
        found.append(float(ask("GET", f"{path}/results/at")[1]) - sent_s)
    return found


async def polls(url: str, path: str, pollers: int, seconds: float) -> list[float]:
    """Return the seconds that each poll took, of clients that ask once a second with the tag they have."""
    place = urlsplit(url)
    took: list[float] = []

    async def poll(delay_s: float) -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        await asyncio.sleep(CONNECT_S + delay_s)
        tag, over = "", time.monotonic() + seconds - delay_s
        while time.monotonic() < over:
            known = f"If-None-Match: {tag}\r\n" if tag else ""
            began_s = time.monotonic()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{known}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head)
            if length:
                await reader.readexactly(int(length[1]))
            took.append(time.monotonic() - began_s)
            found = re.search(r"etag: (\S+)", head)
            if found is None:
                raise RuntimeError(head)
            tag = found[1]
            await asyncio.sleep(max(0, 1 - (time.monotonic() - began_s)))
        writer.close()

    await asyncio.gather(*(poll(n / pollers) for n in range(pollers)))
    return took


def polls_of(place: tuple[str, str], pollers: int, seconds: float) -> list[float]:
    """Return the seconds of all polls of one process; `place` is the service and the path."""
    return asyncio.run(polls(*place, pollers, seconds))


def polling(url: str, path: str, pollers: int, seconds: float) -> list[float]:
    """Return the seconds that each poll took, in order of length; processes of their own ask."""
    with _processes.Pool(POLLING) as pool:
        each = ((url, path), pollers // POLLING, seconds)
        found = pool.starmap(polls_of, [each] * POLLING)
    return sorted(took for some in found for took in some)


async def listen(url: str, path: str, streams: int, over: asyncio.Event) -> list[float]:
    """Return how old each line was when it reached each of so many readers of a stream."""
    place, ages = urlsplit(url), []

    async def read() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"data: ") and (found := re.findall(rb"\d+\.\d+", line)):
                ages.append(time.time() - float(found[-1]))
        writer.close()

    readers = [asyncio.create_task(read()) for _ in range(streams)]
    await over.wait()
    await asyncio.wait(readers, timeout=60)
    return ages


async def soak(
    url: str, status: str, stream: str, asked: argparse.Namespace, web: int
) -> tuple[list[float], list[float], list[tuple[float, float]], float]:
    """Return the times of polls, the ages of lines, memory in MiB over time, and how long an end takes."""
    over, memory = asyncio.Event(), []
    listening = asyncio.create_task(listen(url, stream, asked.streams, over))
    asking = asyncio.create_task(asyncio.to_thread(polling, url, status, asked.pollers, asked.soak))
    began_s = time.monotonic()
    while not asking.done():
        await asyncio.sleep(1)
        memory.append((time.monotonic() - began_s, resident_mib(web)))
    took = await asking
    ended_s = time.monotonic()
    os.kill(parent_of(web), signal.SIGTERM)
    over.set()
    ages = await listening
    return took, ages, memory, time.monotonic() - ended_s


def resident_mib(pid: int) -> float:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def parent_of(pid: int) -> int:
    """Return the id of the process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def web_process(folder: Path) -> int:
    """Return the id of the process that serves the web for a project."""
    wanted = str(folder / "stoker.toml").encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"stoker.web.serving" in words and wanted in words:
                return int(process.name)
    raise ProcessLookupError


def upload(url: str, folder: Path, megabytes: int) -> tuple[float, float, float]:
    """Return the seconds of an upload, of a copy that waits for the disk, and of the hash."""
    file, copy = folder / "large", folder / "copy"
    with file.open("wb") as out:
        for _ in range(megabytes):
            out.write(os.urandom(1 << 20))
        os.fsync(out.fileno())
    found: dict[str, list[float]] = {"upload": [], "copy": [], "hash": []}
    for _ in range(3):
        began_s = time.monotonic()
        subprocess.run(
            ["curl", "-sf", "-T", file, f"{url}/uploads/", "-o", "/dev/null"], check=True
        )
        found["upload"].append(time.monotonic() - began_s)
        began_s = time.monotonic()
        subprocess.run(["cp", "--reflink=never", file, copy], check=True)
        with copy.open("rb") as done:
            os.fsync(done.fileno())
        found["copy"].append(time.monotonic() - began_s)
        began_s = time.monotonic()
        with copy.open("rb") as done:
            hashlib.file_digest(done, "sha256")
        found["hash"].append(time.monotonic() - began_s)
        copy.unlink()
    file.unlink()
    return tuple(statistics.median(one) for one in found.values())  # type: ignore[return-value]  # three


@contextlib.contextmanager
def running(words: list[str], folder: Path) -> Iterator[None]:
    """In the block, the command runs; what it writes is in `log`."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(look: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what `look` finds, once it finds something."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError):
            if found := look():
                return found
        time.sleep(0.05)
    raise TimeoutError


def ask(url: str, method: str, path: str) -> Any:
    """Return the JSON of an answer, with the address of a job that was made as `location`."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request(method, path, b"{}" if method == "POST" else None, HEADERS)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return found


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pollers", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--soak", type=float, default=20)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--realtime", action="store_true", help="before all else on the machine")
    asked = parser.parse_args()
    if asked.realtime:  # what this starts inherits it
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "stoker.toml").write_text(PROJECT)
        with running([STOKER, "up", "--port", "0", "--slots", "2"], folder):
            log = folder / "log"
            url = wait_for(lambda: re.search(r"listens at (http://\S+)/", log.read_text()))[1]
            waits = starts(url, 20)
            print(
                f"from POST to the command's start: median {statistics.median(waits):.3f} s, "
                f"slowest of {len(waits)} {max(waits):.3f} s",
                flush=True,
            )
            ours = rate(url, asked.clients, asked.seconds)
            body = json.dumps(ask(url, "POST", "/processes/nothing/execution")).encode()
            compare(folder, ours, body, asked)
            up_s, copy_s, hash_s = upload(url, folder, asked.megabytes)
            print(
                f"upload of {asked.megabytes:,} MiB: {up_s:.2f} s; cp and fsync {copy_s:.2f} s, "
                f"hash {hash_s:.2f} s; ratio {(copy_s + hash_s) / up_s:.2f}",
                flush=True,
            )
            watch(url, folder, asked)


def compare(folder: Path, ours: float, body: bytes, asked: argparse.Namespace) -> None:
    """Print the rate of submissions beside that of the bare framework."""
    (folder / "bare.py").write_text(BARE)
    (folder / "body").write_bytes(body)
    port, bare_log = 20_000 + os.getpid() % 20_000, folder / "bare"
    bare_log.mkdir()
    with running([sys.executable, folder / "bare.py", str(port), folder / "body"], bare_log):
        wait_for(lambda: socket.create_connection(("127.0.0.1", port)))
        bare = rate(f"http://127.0.0.1:{port}", asked.clients, asked.seconds)
    print(
        f"submissions a second, {asked.clients} clients: {ours:,.0f}; bare framework {bare:,.0f}; "
        f"ratio {ours / bare:.2f}",
        flush=True,
    )


def watch(url: str, folder: Path, asked: argparse.Namespace) -> None:
    """Print what polls and streams cost, and how long they hold up an end."""
    job = ask(url, "POST", "/processes/talk/execution")["jobID"]
    attempts = wait_for(
        lambda: ask(url, "GET", "/api/v1/attempts?pipeline=talk&state=running")["rows"]
    )
    stream = f"/api/v1/logs/stdout/follow?attempt={attempts[0]['id']}"
    web = web_process(folder)
    before_s = cpu_s(web)
    took = polling(url, f"/jobs/{job}", asked.pollers, asked.seconds)
    print(
        f"{asked.pollers} pollers with tags: {in_words(took)}, {(cpu_s(web) - before_s) / len(took) * 1000:.2f} "
        "ms of processor time each",
        flush=True,
    )
    took, ages, memory, end_s = asyncio.run(soak(url, f"/jobs/{job}", stream, asked, web))
    ages.sort()
    half = memory[len(memory) // 3 :]
    slope = statistics.linear_regression(*zip(*half, strict=True)).slope * 60
    print(
        f"the same beside {asked.streams} streams: {in_words(took)}\n"
        f"a line reaches its readers after: median {statistics.median(ages):.2f} s, "
        f"p99 {ages[int(len(ages) * 0.99)]:.2f} s\n"
        f"memory of the web process: {memory[0][1]:.0f} MiB, after {asked.soak:.0f} s "
        f"{memory[-1][1]:.0f} MiB, slope over the last two thirds {slope:+.2f} MiB a minute\n"
        f"SIGTERM with {asked.streams} open streams: all ended after {end_s:.2f} s",
        flush=True,
    )


def in_words(took: list[float]) -> str:
    """Return how long polls took, which are in order of length."""
    middle, most = statistics.median(took), took[int(len(took) * 0.99)]
    return f"{len(took):,} polls, median {middle * 1000:.1f} ms, p99 {most * 1000:.1f} ms"


if __name__ == "__main__":
    main()
