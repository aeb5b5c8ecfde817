"""The form and the page of a job in a real browser: what people see, with and without JavaScript."""

import datetime as dt
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import stoker
from integration.web.conftest import LIMIT_S, service, web_process
from stoker.cli import main

LAB = r"""
[project]
name = "lab"
[pipelines.search]
title = "Search"
description = "Finds **homologues**. <script>document.title = 'ran'</script>"
validate.command = ["./check", "{item}"]
[pipelines.search.params]
evalue = { type = "number", default = 1e-3, minimum = 0, title = "E-value", section = "Filter" }
label = { type = "string", max_length = 60, required = true, title = "Label" }
kind = { type = "choice", choices = ["fast", "careful"], default = "fast" }
tags = { type = "list", items = "string", max_items = 3 }
plot = { type = "boolean", default = true }
pause = { type = "integer", default = 0, maximum = 60, unit = "s", section = "Advanced" }
[pipelines.search.web]
public = true
max_open = 50
per_minute = 300
max_upload = "100K"
keep = "14d"
example = { item = "example.fasta", label = "the example" }
[pipelines.search.results]
hits = "outputs.search.table"
picture = "outputs.search.picture"
text = "outputs.search.text"
page = "outputs.search.page"
best = "values.search.best"
[pipelines.search.steps.search]
run = '''
sleep {params.pause}
printf 'target\tlabel\n' > {out.table}
for i in $(seq 300); do printf 'P%s\t%s\n' $i {params.label} >> {out.table}; done
cat {item} > {out.text}
printf '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="9"><script>parent.document.title="ran"</script></svg>' > {out.picture}
printf '<script>document.title = "ran"</script>' > {out.page}
printf '{"best": 999.5}' > "$STOKER_VALUES"
'''
outputs.table = { to = "results/{key}.tsv", title = "Table" }
outputs.picture = { to = "results/{key}.svg" }
outputs.text = { to = "results/{key}.txt" }
outputs.page = { to = "results/{key}.html" }
[pipelines.large]
web.public = true
web.keep = "14d"
steps.copy.run = "cp {item} {out.same}"
steps.copy.outputs.same = "results/{key}.same"
"""
CHECK = """#!/bin/sh
[ "$(head -c 1 "$1")" = ">" ] || { echo "it is not FASTA" >&2; exit 1; }
"""
NASTY = 'it\'s <b> $(x) & "y"'


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "stoker.toml").write_text(LAB)
    (folder / "example.fasta").write_text(">a\nMKVL\n")
    (folder / "check").write_text(CHECK)
    (folder / "check").chmod(0o755)
    with service(folder) as found:
        yield found


@pytest.fixture
def browse(chromium, lab):
    """Make pages. At the end none has asked another host for anything, nor broken its own rules."""
    made, wrong = [], []

    def seen(request):
        if not request.url.startswith((lab.url, "data:")):
            wrong.append(request.url)

    def said(message):
        if "Content Security Policy" in message.text:
            wrong.append(message.text)

    def make(**options):
        context = chromium.new_context(base_url=lab.url, **options)
        context.set_default_timeout(LIMIT_S * 1000)
        context.on("request", seen)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", said)
        made.append(context)
        return page

    yield make
    for context in made:
        context.close()
    assert wrong == []


def choose(page, text=b">a\nMKVL\n", name="my seq.fasta"):
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": text}
    page.set_input_files("[id='in.item']", files=[file])


def test_from_the_catalogue_to_the_results(browse, lab):
    page = browse()
    page.goto("/")
    page.click("text=Search")
    assert page.inner_text(".prose strong") == "homologues"
    choose(page)
    page.fill("[id='in.label']", NASTY)
    page.click("text=Advanced")
    page.fill("[id='in.pause']", "1")
    assert '"label": "it' in page.inner_text("[data-call=curl]")
    page.click("text=Submit")
    page.wait_for_url("**/jobs/*")
    page.wait_for_selector(".badge.done")  # by itself
    assert page.title() == "Done: Search · lab"
    assert page.locator("tbody tr").count() == 200
    assert page.inner_text("tbody tr:first-child td:last-child") == NASTY
    assert "MKVL" in page.inner_text(".result.text pre")
    assert page.inner_text("pre.value").strip() == "999.5"
    assert page.evaluate("document.querySelector('.picture img').naturalWidth") == 900
    with page.expect_download() as waiting:
        page.click("text=my seq.fasta")
    assert waiting.value.path().read_bytes() == b">a\nMKVL\n"
    page.click("text=Run again with these values")
    assert page.input_value("[id='in.label']") == NASTY
    page.click("text=Submit")
    page.wait_for_selector(".badge.done")


def test_results_that_could_run_are_saved_and_never_shown(lab):
    files = {"in.item": ("x.fasta", b">a\n")}
    job = send(lab, {"in.label": "x"}, files)
    lab.wait_for(job)
    for name in ("page", "picture"):
        found = lab.get(f"{job}/results/{name}")
        assert found.headers["content-disposition"].startswith("attachment;")
        assert "sandbox" in found.headers["content-security-policy"]
        assert found.headers["x-content-type-options"] == "nosniff"


def test_a_form_shows_all_mistakes_and_keeps_what_was_filled_in(browse, lab):
    page = browse()
    page.goto("/processes/search")
    choose(page, b"no fasta")
    page.fill("[id='in.evalue']", "-5")
    page.fill("[id='in.tags']", "a\nb\nc\nd")
    page.locator("[id='in.evalue-error']").wait_for()
    page.click("text=Advanced")
    page.fill("[id='in.pause']", "many")
    page.uncheck("[id='in.plot']")
    page.click("text=Submit")
    page.wait_for_selector("#mistakes")
    found = page.locator("#mistakes li").all_inner_texts()
    assert found == [
        "File it is not FASTA",
        "E-value is -5 and must be at least 0",
        "Label is required",
        "tags has 4 elements and may have 3",
        'pause must be a whole number, not "many"',
    ]
    page.click("#mistakes >> text=Label")
    assert page.evaluate("document.activeElement.id") == "in.label"
    values = {name: page.input_value(f"[id='in.{name}']") for name in ("evalue", "tags", "pause")}
    assert values == {"evalue": "-5", "tags": "a\nb\nc\nd", "pause": "many"}
    assert not page.is_checked("[id='in.plot']")
    assert page.is_checked("[name='file.item']")
    choose(page, b">" + b"x" * 200_000)
    page.click("text=Submit")
    page.wait_for_selector("text=larger than the limit of 102,400 bytes")
    files = {"in.item": ("x.fasta", b">" + b"x" * 200_000)}
    plain = send(lab, {"in.label": "x"}, files)
    assert (plain.status_code, "may have 102 kB" in plain.text) == (422, True)


def test_everything_works_without_javascript_on_a_phone(browse, lab):
    page = browse(java_script_enabled=False, viewport={"width": 360, "height": 740})
    with_script = browse(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page.goto("/processes/search")
    page.click("text=Fill in the example")
    page.click("text=Submit")
    job = page.url
    assert re.fullmatch(rf"{re.escape(lab.url)}jobs/[0-9a-f]{{32}}", job)
    page.wait_for_selector(".badge.done")  # as the page is loaded again every few seconds
    page.click("text=Run again with these values")
    page.click("text=Advanced")
    page.fill("[id='in.pause']", "50")
    page.click("text=Submit")
    page.click("text=Cancel")
    page.wait_for_selector(".badge.cancelled")
    for address in ("/", "/processes/search", "/processes/search/example", job, "/nowhere"):
        with_script.goto(address)
        assert with_script.evaluate("document.documentElement.scrollWidth") <= 360, address


def send(lab, fields, files=None, *, token=True, **headers):
    """Send the form as a browser without scripts does; return where it leads, or the answer."""
    with httpx.Client(base_url=lab.url, timeout=LIMIT_S) as client:
        page = client.get("/processes/search", headers={"accept": "text/html"})
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
        data = {"form_token": found[1] if token else "0" * 64, **fields}
        parts = [(name, (None, text)) for name, text in data.items()]
        parts += list((files or {}).items())
        answer = client.post(
            "/processes/search", files=parts, headers={"accept": "text/html", **headers}
        )
    return answer.headers["location"] if answer.status_code == 303 else answer


def test_a_form_of_another_site_submits_nothing(lab):
    files = lab.folder / ".stoker" / "uploads" / "files"
    before = set(files.glob("*"))
    answer = send(lab, {"in.label": "x"}, {"in.item": ("x", b">a\n")}, token=False)
    assert answer.status_code == 403
    assert set(files.glob("*")) == before


def test_programs_get_json_where_people_get_pages(lab):
    for path in ("/", "/processes", "/processes/search"):
        assert lab.get(path).headers["content-type"] == "application/json"
        found = lab.get(path, headers={"accept": "text/html"})
        assert found.headers["content-type"].startswith("text/html")
        assert lab.get(path, params={"f": "html"}).text[:15] == "<!doctype html>"


def test_the_calls_beside_the_form_do_the_same(browse, lab, tmp_path):
    page = browse()
    page.goto("/processes/search")
    (tmp_path / "seq.fasta").write_text(">a\nMK\n")
    page.fill("[id='in.label']", NASTY)
    for name, program in (("curl", ["bash", "-ec"]), ("python", [sys.executable, "-c"])):
        text = page.inner_text(f"pre:has([data-call={name}])").replace("FILE", "seq.fasta")
        done = subprocess.run(
            [*program, text],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, (text, done)
        if name == "curl":
            job = re.search(r"(?i)location: (\S+)", done.stdout)[1]
            assert lab.wait_for(job)["status"] == "successful"
            assert lab.get(f"{job}/results/hits").text.split("\n")[1] == f"P1\t{NASTY}"
        else:
            assert "P300" in done.stdout, done


def test_a_field_says_what_is_wrong_with_it_when_it_is_left(browse, lab):
    page = browse()
    page.goto("/processes/search")
    page.fill("[id='in.evalue']", "-1")
    page.press("[id='in.evalue']", "Tab")
    wrong = page.locator("[id='in.evalue-error']")
    wrong.wait_for()
    assert "at least 0" in wrong.inner_text() or "minimum" in wrong.inner_text()
    assert page.get_attribute("[id='in.evalue']", "aria-invalid") == "true"
    assert page.locator(".error").count() == 1  # nothing is said of fields that were not visited
    page.fill("[id='in.evalue']", "2")
    page.press("[id='in.evalue']", "Tab")
    wrong.wait_for(state="detached")
    page.click("[id='in.label']")
    page.press("[id='in.label']", "Tab")
    page.locator("[id='in.label-error']").wait_for()


def test_an_upload_that_breaks_off_goes_on_where_it_was(browse, lab):
    page, sent = browse(), []
    text = b">a\n" + b"MKVL" * 20_000

    def meddle(route):
        request = route.request
        if request.method != "PATCH":
            route.continue_()
            return
        sent.append(int(request.headers["upload-offset"]))
        if len(sent) == 1:
            route.abort()
        elif len(sent) == 2:
            route.continue_(post_data=request.post_data_buffer[:30_000])  # and then it broke off
        else:
            route.continue_()

    page.route("**/uploads/*", meddle)
    page.goto("/processes/search")
    choose(page, text, name="gr\u00f6\u00dfe.fa")
    page.fill("[id='in.label']", "x")
    page.click("text=Submit")
    page.wait_for_url("**/jobs/*")
    assert sent == [0, 0, 30_000]
    link = page.locator("dd a[download]").first
    assert link.inner_text() == "gr\u00f6\u00dfe.fa"
    assert lab.get(link.get_attribute("href")).content == text


def test_trap_19_a_large_file_comes_and_goes_in_steady_memory(lab):
    web = web_process(lab.process.pid)

    def peak_bytes():
        status = Path(f"/proc/{web.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

    piece, n, before = bytes(range(256)) * 4096, 160, peak_bytes()
    sent = lab.client.put("/uploads/large", content=(piece for _ in range(n)))
    assert sent.status_code == 201, sent.text
    assert sent.json()["size_bytes"] == n * len(piece)
    address = lab.done("large", item=sent.json()["id"])
    digest = hashlib.sha256()
    with lab.client.stream("GET", f"{address}/results/same") as answer:
        for some in answer.iter_raw():
            digest.update(some)
    assert digest.hexdigest() == sent.json()["sha256"]
    assert peak_bytes() - before < n * len(piece) // 3


@pytest.mark.parametrize(("zone", "local"), [("Pacific/Kiritimati", 14), ("Pacific/Honolulu", -10)])
def test_trap_23_the_page_of_a_job_has_its_reader_s_time(browse, lab, zone, local):
    """Also the day until which it is kept, and after the page has followed its job."""
    upload = lab.client.put("/uploads/a", content=b"x").json()["id"]
    address = lab.submit("large", item=upload)
    page = browse(timezone_id=zone)
    page.goto(address)
    page.wait_for_selector(".badge.done")
    there = dt.timezone(dt.timedelta(hours=local))
    for time in page.locator("time").all():
        exact = dt.datetime.fromisoformat(time.get_attribute("datetime"))
        assert f"{exact.astimezone(there):%Y-%m-%d %H:%M:%S} GMT{local:+d}" in time.get_attribute(
            "title"
        )
        assert f"{exact:%Y-%m-%d %H:%M:%S} UTC" in time.get_attribute("title")
    kept = page.locator("time[data-moment]")
    assert kept.inner_text() == kept.get_attribute("title").partition("\n")[0]
    page.click("text=local time")
    assert kept.inner_text().endswith(" UTC")


def test_many_at_once_are_pasted_as_a_table(browse, lab):
    page = browse(java_script_enabled=False)
    page.goto("/processes/search")
    page.click("text=Many at once")
    upload = lab.client.put("/uploads/a.fa", content=b">a\nMK\n").json()["id"]
    rows = [
        ["item", "Label", "kind", "tags", "plot"],
        [upload, "one", "careful", "a;b", "no"],
        [upload, "two", "wrong", "", ""],
        ["0" * 32, "three", "", "", "maybe"],
        [upload, 'fo"ur', "", "", ""],
    ]
    page.fill("#table", "\n".join("\t".join(row) for row in rows))
    page.click("text=Check")
    assert "2 of 4 rows can be submitted" in page.inner_text("main")
    wrong = page.locator("td.error").all_inner_texts()
    assert "plot is `maybe`" in wrong[1]
    assert "File names an upload that is not there" in wrong[1]  # all mistakes of a row at once
    page.click("text=Submit 2 jobs")
    assert "2 jobs are submitted; 2 rows have mistakes" in page.inner_text("main")
    jobs = [one.get_attribute("href") for one in page.locator("tbody a").all()]
    assert len(jobs) == 2
    first = lab.get(f"{jobs[0]}/inputs", headers={"accept": "application/json"}).json()["inputs"]
    assert (first["label"], first["kind"], first["tags"]) == ("one", "careful", ["a", "b"])
    assert first["plot"] is False
    left = page.input_value("#table").splitlines()
    assert [line.split("\t")[1] for line in left] == ["Label", "two", "three"]
    for text, words in {
        "label": "a line for each job", "labl\nx": "did you mean", "label\tlabel\nx\ty": "two columns",
        "label\n" + "x\n" * 2001: "at most 2,000 rows",
    }.items():  # fmt: skip
        page.fill("#table", text)
        page.click("text=Check")
        assert words in page.inner_text("[role=alert]")


def test_the_report_page_needs_no_scrolling_sideways_on_a_phone(chromium, tmp_path):
    (tmp_path / "stoker.toml").write_text(
        '[pipelines.p]\nitems = "records"\n[pipelines.p.steps.s]\nrun = "echo no licence >&2; exit 1"\n'
    )
    with stoker.open(tmp_path) as project:
        project.push("p", [f"a-long-folder/{'recording_of_a_day_' * 6}{n}" for n in range(2)])
        project.run()
    page = tmp_path / "report.html"
    assert main.run(["--project", str(tmp_path), "report", "--out", str(page)]) == 0
    context = chromium.new_context(viewport={"width": 420, "height": 900})
    shown = context.new_page()
    shown.goto(page.as_uri())
    assert "recording_of_a_day" in shown.inner_text("body")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 420
    context.close()
