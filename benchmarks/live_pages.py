"""What the pages cost where they are used: first paint, news, many browsers, the report, a terminal.

    python benchmarks/live_pages.py --folder DIR [--seconds 20] [--browsers 50]

`DIR` holds a store that `benchmarks/pages.py --folder DIR` has made. Prints how soon Chromium paints the
overview, how soon an event is on it, what one and many open overviews cost the web process a second while
things happen, how long `stoker report` takes, and the share of a core that `stoker status --watch` takes.
"""

import argparse
import contextlib
import http.client
import os
import pty
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from pages import Server

import stoker

STOKER = str(Path(sys.executable).with_name("stoker"))
PAINT_GOAL_MS, EVENT_GOAL_S, REPORT_GOAL_S, WATCH_GOAL = 1000.0, 1.0, 10.0, 0.03
LOADS, EVENTS = 7, 12
PAINT = """() => new Promise((go) => {
    const found = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    const look = () => (found() ? go(found()) : requestAnimationFrame(look));
    look();
})"""
WAIT = """(n) => new Promise((go) => {
    const held = () => Number(document.querySelectorAll(".counters b")[2].textContent.replaceAll(",", ""));
    const look = () => (held() === n ? go(Date.now()) : requestAnimationFrame(look));
    look();
})"""


def in_a_browser(url: str, project: "stoker.Project") -> None:
    """Print how soon the overview is painted, and how soon it shows what happened."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        paints, ages = [], []
        for _ in range(LOADS):
            context = browser.new_context(base_url=url)  # nothing is in its cache
            page = context.new_page()
            page.goto("/overview")
            paints.append(page.evaluate(PAINT))
            context.close()
        page = browser.new_page(base_url=url)
        page.goto("/overview")
        page.wait_for_function("document.querySelector('#clock').textContent === 'live'")
        held = len(list(project.items("other-*", state="held")))
        for n in range(EVENTS):
            key, was_held = f"other-{n // 2:05}", n % 2
            time.sleep(1.5)  # the last event is over
            began = time.time()
            (project.release if was_held else project.hold)(key)
            held += -1 if was_held else 1
            ages.append(page.evaluate(WAIT, held) / 1000 - began)
        browser.close()
    print(
        f"first paint of the overview: median {statistics.median(paints):.0f} ms, slowest of {LOADS} "
        f"{max(paints):.0f} ms; goal {PAINT_GOAL_MS:.0f} ms\n"
        f"an event is on the page after: median {statistics.median(ages):.2f} s, slowest of {EVENTS} "
        f"{max(ages):.2f} s; goal {EVENT_GOAL_S:g} s",
        flush=True,
    )


def follow(port: int, until_s: float, counts: list[int]) -> None:
    """Do what a browser does: hold a stream, and look at the page at every event."""
    stream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    stream.request("GET", "/stream?seconds=600")
    answer, page, n = stream.getresponse(), http.client.HTTPConnection("127.0.0.1", port), 0
    while time.monotonic() < until_s:
        line = answer.readline()
        if line.startswith(b"data:"):
            page.request("GET", "/overview", headers={"Accept": "text/html"})
            page.getresponse().read()
            n += 1
    counts.append(n)
    stream.close()
    page.close()


@contextlib.contextmanager
def events(project: "stoker.Project") -> Iterator[None]:
    """In the block, something happens every half second."""
    over = threading.Event()

    def change() -> None:
        n = 0
        while not over.wait(0.5):
            (project.release if n % 2 else project.hold)("other-00400")
            n += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def many(server: Server, project: "stoker.Project", browsers: int, seconds: float) -> None:
    """Print what open overviews cost the web process: one, and many."""
    process = psutil.Process(server.process.pid)
    for n in (1, browsers):
        counts: list[int] = []
        with events(project):
            until_s = time.monotonic() + seconds
            before = sum(process.cpu_times()[:2])
            threads = [
                threading.Thread(target=follow, args=(server.port, until_s, counts))
                for _ in range(n)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            spent = sum(process.cpu_times()[:2]) - before
        print(
            f"{n} open overviews: {spent / seconds:.2f} of a core, {sum(counts) / seconds:.1f} pages a "
            f"second, memory {server.memory_mb:.0f} MB",
            flush=True,
        )


def report(folder: Path) -> None:
    """Print how long `stoker report` takes."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name, "report.html")
        took = []
        for _ in range(3):
            began = time.perf_counter()
            words = [STOKER, "--project", folder, "report", "--out", out]
            subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
            took.append(time.perf_counter() - began)
        size = out.stat().st_size
    print(
        f"stoker report: {max(took):.2f} s, {size / 1000:.0f} kB; goal {REPORT_GOAL_S:g} s",
        flush=True,
    )


def watch(folder: Path, seconds: float) -> None:
    """Print the share of a core that `stoker status --watch` takes while things happen, after it has begun."""
    ours, theirs = pty.openpty()
    words = [STOKER, "--project", str(folder), "status", "--watch"]
    process = subprocess.Popen(words, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    reader = threading.Thread(target=_drain, args=(ours,), daemon=True)
    reader.start()
    time.sleep(5)
    one = psutil.Process(process.pid)
    before = sum(one.cpu_times()[:2])
    time.sleep(seconds)
    share = (sum(one.cpu_times()[:2]) - before) / seconds
    process.terminate()
    process.wait(30)
    os.close(ours)
    print(f"stoker status --watch: {share:.1%} of a core; goal {WATCH_GOAL:.0%}", flush=True)


def _drain(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1 << 16):
            pass


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--browsers", type=int, default=50)
    asked = parser.parse_args()
    server = Server(asked.folder)
    try:
        with stoker.open(asked.folder) as project:
            in_a_browser(f"http://127.0.0.1:{server.port}", project)
            many(server, project, asked.browsers, asked.seconds)
    finally:
        server.close()
    report(asked.folder)
    with stoker.open(asked.folder) as project, events(project):
        watch(asked.folder, asked.seconds)


if __name__ == "__main__":
    main()
