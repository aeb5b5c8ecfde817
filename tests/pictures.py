"""`make pictures`: takes the pictures of the documentation again, from the examples as they are here.

    make pictures [ARGS="--only seismology"]

The seismology example's results are those of `make demo`; the other examples run in a temporary folder,
at a tenth of their size. Those of the evening in the laboratory are taken by the test of its page. Look at
each of them before you commit it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

import stoker
from integration.web.conftest import LIMIT_S, service

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "_static" / "pages"
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "seismology": (),
    "sequencing": ("6",),
    "satellite": ("10",),
    "webservice": (),
}
WIDE = {"width": 1000, "height": 640}
PASSWORD = "a picture of the pages"


@contextmanager
def results(name: str, *words: str) -> Iterator[Path]:
    """In the block, the example has run in the folder that this returns."""
    source = ROOT / "examples" / name
    if name == "seismology":
        if not (source / ".stoker").is_dir():
            raise SystemExit("run `make demo` first")
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="stoker-pictures-") as place:
        folder = Path(place, name)
        kept = shutil.ignore_patterns(".stoker", "__pycache__", "results")
        shutil.copytree(source, folder, ignore=kept)
        if name != "webservice":  # whose demo is a service, which is started below
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            environment = {**os.environ, "PATH": path}
            subprocess.run(
                [folder / "demo", *words], check=True, env=environment, stdout=subprocess.DEVNULL
            )
        yield folder


@contextmanager
def page_of(browser: Browser, folder: Path) -> Iterator[Page]:
    """In the block, the project is served, and somebody who may repair has signed in."""
    with stoker.open(folder) as project:
        if not [one for one in project.access.users() if one.name == "ada"]:
            project.access.create_user("ada", role="operator", password=PASSWORD)
    with service(folder) as found:
        context = browser.new_context(base_url=found.url, viewport=WIDE, color_scheme="light")
        context.set_default_timeout(LIMIT_S * 1000)
        page = context.new_page()
        page.goto("/sign-in")
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_url(lambda url: "sign-in" not in url)
        yield page
        context.close()
    (folder / "up.log").unlink()


def take(page: Page, name: str) -> None:
    """The page is a picture."""
    page.evaluate("document.activeElement?.blur()")
    page.screenshot(path=PAGES / f"{name}.png")
    size = (PAGES / f"{name}.png").stat().st_size
    sys.stdout.write(f"{name}.png: {size / 1000:.0f} kB\n")


def look(name: str, page: Page) -> None:
    """Take the pictures of one example."""
    page.goto("/overview")
    if name == "webservice":
        page.goto("/processes/search")
        page.click("text=Fill in the example")
        page.click("text=Submit")
        page.wait_for_selector(".badge.done")
        page.wait_for_selector(".picture img")
        take(page, "service-job")
        return
    take(page, f"{name}-overview")
    if name == "seismology":
        page.goto("/pipeline?pipeline=seismology")
        take(page, "seismology-pipeline")
        page.goto("/failures")
        take(page, "seismology-failures")


def main() -> None:
    """Take all pictures, or those of one example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=[*EXAMPLES, "evening"])
    asked = parser.parse_args()
    PAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, words in EXAMPLES.items():
            if asked.only in (None, name):
                with results(name, *words) as folder, page_of(browser, folder) as page:
                    look(name, page)
        browser.close()
    if asked.only in (None, "evening"):
        test = ROOT / "tests" / "docs" / "test_evening.py"
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", str(test)]
        subprocess.run(
            words, check=True, cwd=ROOT, env={**os.environ, "STOKER_PICTURES": str(PAGES)}
        )


if __name__ == "__main__":
    main()
