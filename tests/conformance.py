"""What others' tools say of the web service: accessibility, HTML, the documents, clients made by others.

    make conformance [ARGS="--examples 50"]

It serves the project of the tests of pages, and prints a line for each look. Exit status 1 if one of
them finds something. It takes from package indexes, once into the user's cache: axe-core and the
checker of HTML (`vnu-jar`, needs Java) from npm, and other people's clients of OGC API - Processes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from integration.web.conftest import service
from integration.web.test_pages import CHECK, LAB
from npm import AXE, CACHE, from_npm

VNU = "vnu-jar@26.9.27"
CLIENTS = ("gavicore==0.1.1", "cuiman==0.1.1", "openapi-python-client==0.29.1", "tuspy==1.1.0")
TUS = """
import io, sys
from tusclient import client
content = b">a\\n" + b"MK" * 40_000
one = client.TusClient(sys.argv[1]).uploader(file_stream=io.BytesIO(content), chunk_size=30_000)
one.upload_chunk()
again = client.TusClient(sys.argv[1]).uploader(
    file_stream=io.BytesIO(content), chunk_size=30_000, url=one.url
)
assert again.offset == 30_000
again.upload()
print(again.url)
"""
SIZES = {"wide": (1280, 900), "phone": (420, 800)}
ALLOWED = ("Trailing slash on void elements",)  # what vnu says without it being a mistake


def pages_of(client: httpx.Client) -> Iterator[tuple[str, str]]:
    """Yield the name and address of each kind of page."""
    headers = {"content-type": "application/json", "prefer": "respond-async"}
    upload = client.put("/uploads/a.fa", content=b">a\nMK\n").json()["id"]
    body = {"inputs": {"item": upload, "label": "x"}}
    job = client.post("/processes/search/execution", json=body, headers=headers).json()["jobID"]
    while client.get(f"/jobs/{job}").json()["status"] in ("accepted", "running"):
        pass
    yield "catalogue", "/"
    yield "form", "/processes/search"
    yield "example", "/processes/search/example"
    yield "many", "/processes/search/many"
    yield "job", f"/jobs/{job}"
    yield "sign in", "/sign-in"
    yield "nowhere", "/nowhere"
    yield "document", "/conformance?f=html"
    yield "definition", "/api?f=html"
    yield "api docs", "/api/docs"


def axe(client: httpx.Client, pages: dict[str, str], pictures: Path) -> Iterator[str]:
    """Yield what axe-core finds on the pages, wide and on a phone, light and dark; keep pictures."""
    from playwright.sync_api import sync_playwright

    text = from_npm(AXE, "axe.min.js").read_text("utf-8")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for size, (width, height) in SIZES.items():
                context = browser.new_context(
                    base_url=str(client.base_url),
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type]  # one of its words
                    bypass_csp=True,
                )
                page = context.new_page()
                for name, address in pages.items():
                    if name == "api docs":
                        continue  # Swagger UI's own page
                    page.goto(address)
                    page.screenshot(path=pictures / f"{name}-{size}-{scheme}.png", full_page=True)
                    page.evaluate(text)
                    found = page.evaluate("(rules) => axe.run(document, rules)", rules)
                    for one in found["violations"]:
                        where = one["nodes"][0]["html"][:160]
                        yield f"{name}, {size}, {scheme}: {one['id']}: {one['help']}: {where}"
                    if page.evaluate("document.documentElement.scrollWidth") > width:
                        yield f"{name}, {size}: the page is wider than the window"
                context.close()
        browser.close()


def vnu(client: httpx.Client, pages: dict[str, str], _pictures: Path) -> Iterator[str]:
    """Yield what the checker of HTML finds."""
    jar = from_npm(VNU, "build/dist/vnu.jar")
    with tempfile.TemporaryDirectory() as name:
        for page, address in pages.items():
            text = client.get(address, headers={"accept": "text/html"}).text
            (Path(name) / f"{page}.html").write_text(text, "utf-8")
        words = ["java", "-jar", jar, "--format", "json", "--exit-zero-always", name]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    for one in json.loads(done.stderr)["messages"]:
        if not one["message"].startswith(ALLOWED):
            page = Path(one["url"]).stem
            yield f"{page}: {one['message']} {one.get('extract', '')[:100]!r}"


def documents(_client: httpx.Client, _pages: dict[str, str], _pictures: Path) -> Iterator[str]:
    """Yield what schemathesis finds with more examples than in CI."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:randomly",
        "--timeout",
        "600",
    ]
    file = Path(__file__).parent / "integration" / "web" / "test_api_schema.py"
    done = subprocess.run([*words, file], capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stdout[-4000:]


def foreign(client: httpx.Client, _pages: dict[str, str], _pictures: Path) -> Iterator[str]:
    """Yield what other people's clients cannot do: cuiman, tuspy, and one generated from our document."""
    folder = CACHE / "clients-2"
    if not folder.is_dir():
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *CLIENTS], check=True)
    base = str(client.base_url).rstrip("/")
    text = (
        f"from cuiman import Client; c = Client(api_url={base!r}); "
        "print([p.id for p in c.get_processes().processes]); "
        "print(c.get_process('search').inputs.keys())"
    )
    words: list[Any] = [folder / "bin" / "python", "-c", text]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode or "search" not in done.stdout:
        yield f"cuiman: {done.stdout[-500:]} {done.stderr[-1500:]}"
    words = [folder / "bin" / "python", "-c", TUS, f"{base}/uploads"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode or client.get(done.stdout.strip()).json()["size_bytes"] != 80_003:
        yield f"tuspy: {done.stdout[-500:]} {done.stderr[-1500:]}"
    for address in ("/api/v1/openapi.json", "/api"):
        with tempfile.TemporaryDirectory() as name:
            Path(name, "api.json").write_text(client.get(address).text)
            words = [folder / "bin" / "openapi-python-client", "generate", "--path", "api.json"]
            words += ["--meta", "none", "--output-path", "made"]
            path = f"{folder / 'bin'}:{os.environ['PATH']}"
            environment = os.environ | {"PATH": path}
            made = subprocess.run(
                words, cwd=name, capture_output=True, text=True, check=False, env=environment
            )
            text = (
                "import pkgutil, importlib, made\n"
                "for one in pkgutil.walk_packages(made.__path__, 'made.'):\n"
                "    importlib.import_module(one.name)\n"
            )
            run = [folder / "bin" / "python", "-c", text]
            used = subprocess.run(run, cwd=name, capture_output=True, text=True, check=False)
        # Results are of any type (`*/*`), for which it makes no function.
        said = [one for one in made.stdout.split("WARNING")[1:] if "*/*" not in one]
        if made.returncode or used.returncode or said:
            yield f"openapi-python-client, {address}: {said[:3]} {made.stderr[-800:]}{used.stderr[-800:]}"


LOOKS: dict[str, Callable[[httpx.Client, dict[str, str], Path], Iterator[str]]] = {
    "accessibility (axe-core)": axe,
    "HTML (vnu)": vnu,
    "clients made by others": foreign,
    "documents (schemathesis)": documents,
}


def main() -> int:
    """Look, and print what was found; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--examples", type=int, default=50, help="of each operation")
    parser.add_argument("--only", choices=[one.__name__ for one in LOOKS.values()])
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of all pages")
    asked = parser.parse_args()
    os.environ["STOKER_EXAMPLES"] = str(asked.examples)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "lab"
        pictures = asked.pictures or Path(name)
        pictures.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        (folder / "stoker.toml").write_text(LAB)
        (folder / "example.fasta").write_text(">a\nMKVL\n")
        (folder / "check").write_text(CHECK)
        (folder / "check").chmod(0o755)
        with service(folder) as lab:
            pages = dict(pages_of(lab.client))
            for title, look in LOOKS.items():
                if asked.only not in (None, look.__name__):
                    continue
                found = list(look(lab.client, pages, pictures))
                wrong += len(found)
                print(f"{title}: {len(found) or 'nothing'} found")
                for one in found:
                    print(f"  {one}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
