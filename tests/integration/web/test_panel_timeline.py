"""The timeline: what hosts and steps did when, why they did nothing, and bounded whatever happened."""

import html
import re
from itertools import pairwise

import pytest

from integration.web.inside import inside
from integration.web.test_panel import address, words_of
from stoker.store.reports import timeline as report
from store.test_paging import listening, plan, reads_all

TOML = """
[project]
name = "lab"
[web]
anonymous = "viewer"
[pipelines.p]
items = "records"
steps.first = { run = "sleep 0.2" }
steps.second = { run = "test {key} != bad", after = ["first"] }
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with inside(tmp_path_factory.mktemp("timeline"), toml=TOML) as found:
        found.project.push("p", ["good", "bad", "<b>odd</b> &"])
        found.project.run("p", slots=2)
        found.project.push("p", ["later"])
        found.project.run("p", slots=1)
        yield found


def look(lab, path):
    answer = lab.client().get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def bars(page):
    return re.findall(r'<a href="(/item[^"]*)" tabindex="-1"><rect class="(\w+)"', page)


def test_each_attempt_is_a_bar_that_leads_to_its_item(lab):
    page = look(lab, "/timeline")
    found = bars(page)
    assert len(found) == 8
    assert sorted(colour for _, colour in found) == ["done"] * 7 + ["failed"]
    for path, _ in found:
        assert lab.client().get(html.unescape(path)).status_code == 200
    words = words_of(page)
    assert "7 done, 1 failed" in words
    assert "<b>odd" not in page
    coloured = look(lab, "/timeline?colour=step")
    assert {colour for _, colour in re.findall(r'"(-1)"><rect class="([\w-]+)"', coloured)} == {
        "step-0",
        "step-1",
    }
    by_step = words_of(look(lab, "/timeline?by=steps"))
    assert "p first" in by_step
    assert "p second" in by_step


def test_what_ran_on_a_machine_at_once_stands_in_lanes_of_its_own(lab):
    page = look(lab, "/timeline")
    rects = re.findall(
        r'<rect class="(?:done|failed)" x="([\d.]+)%" width="([\d.]+)%" y="(\d+)"', page
    )
    assert {y for *_, y in rects} == {"0", "16"}
    for y in ("0", "16"):
        mine = sorted((float(x), float(x) + float(w)) for x, w, at in rects if at == y)
        assert all(b[0] >= a[1] - 0.25 for a, b in pairwise(mine)), mine


def test_a_gap_between_two_runs_says_that_no_worker_was_there(lab):
    page = words_of(look(lab, "/timeline"))
    assert "When nothing ran, and why" in page
    assert "no worker ran on this host: it had ended" in page


def test_any_window_has_an_address_and_another_one_beside_it(lab):
    page = look(lab, "/timeline?last=1h")
    seen = set()
    todo = [html.unescape(one) for one in re.findall(r'href="(/timeline[^"]*)"', page)]
    assert len(todo) > 12
    for path in todo:
        if path in seen:
            continue
        seen.add(path)
        again = look(lab, path)
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", words_of(again)), path
    old = words_of(look(lab, "/timeline?from=1999-12-31T23:00:00Z&to=2000-01-01T01:00:00%2B00:00"))
    assert "Nothing ran then" in old
    assert "Show the whole history" in old


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday", "to": "now"},
        {"from": "2026-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"},
        {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00.5Z"},
        {"from": "0001-01-01", "to": "9999-12-31"},
        {"from": "2026-01-01", "last": "1h"},
        {"last": "-1h"},
        {"last": "999999y"},
        {"by": "colour"},
        {"colour": "red"},
        {"to": "2026-01-01"},
    ],
)
def test_a_window_that_is_none_is_said(lab, query):
    answer = lab.client().get(address("timeline", **query), headers={"accept": "text/html"})
    assert answer.status_code == 400, answer.text


def test_many_attempts_become_columns_and_more_become_what_was_counted(lab, monkeypatch):
    monkeypatch.setattr(report, "BARS", 3)
    columns = look(lab, "/timeline")
    assert bars(columns) == []
    assert "8 attempts: each column is" in words_of(columns)
    assert 'class="busy"' in columns
    assert 'class="failed"' in columns
    assert "7 done, 1 failed" in words_of(columns)
    monkeypatch.setattr(report, "LIGHT", 3)
    for path in ("/timeline?last=24h", "/timeline?last=1y", "/timeline?last=24h&by=steps"):
        counted = look(lab, path)
        assert "Too many attempts to draw one by one" in words_of(counted), path
        assert 'class="busy"' in counted, path
        n = [int(one) for one in re.findall(r"(\d+) done", words_of(counted)) if one != "0"]
        assert sum(re.findall(r"(\d+) failed", words_of(counted)).count(one) for one in "1") >= 1
        assert n
    assert "7 done, 1 failed" in words_of(look(lab, "/timeline?last=24h"))


def test_rows_come_in_pages(lab, monkeypatch):
    monkeypatch.setattr(report, "ROWS", 1)
    first = look(lab, "/timeline?by=steps&last=1h")
    assert "p first" in words_of(first)
    assert "p second" not in words_of(first)
    more = html.unescape(re.search(r'href="([^"]*)">More rows', first)[1])
    second = look(lab, more)
    assert "p second" in words_of(second)
    assert "More rows" not in second


@pytest.mark.parametrize(
    "path", ["/timeline", "/timeline?last=1y", "/timeline?by=steps", "/timeline?from=2001-01-01"]
)
@pytest.mark.parametrize("light", [8_000, 3])
def test_no_window_reads_all_of_a_table(lab, path, light, monkeypatch):
    monkeypatch.setattr(report, "LIGHT", light)
    seen = []
    lab.app.state.panel.expire()
    with listening(lab.site.project.store.engine, seen):
        look(lab, path)
    assert seen
    for text, values in seen:
        if re.match(r"\s*(SELECT|WITH)\b", text, re.IGNORECASE):
            steps = plan(lab.site.project.store, text, values)
            assert not [step for step in steps if reads_all(step)], text


def test_a_store_in_which_nothing_ran_says_what_will_be_here(tmp_path):
    with inside(tmp_path, toml=TOML) as empty:
        assert "Nothing has run yet" in words_of(look(empty, "/timeline"))
        assert "Nothing has run yet" in words_of(look(empty, "/timeline?last=all&by=steps"))
