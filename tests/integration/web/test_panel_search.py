"""The search box: by key, part or glob, in a bounded time whatever the store holds; and rates."""

import re

import pytest

from integration.web.inside import inside
from integration.web.test_panel import address, words_of
from stoker.store.reports import searching
from store.test_paging import listening, plan, reads_all

TOML = """
[project]
name = "lab"
[web]
anonymous = "viewer"
[pipelines.spikes]
items = "records"
steps.s = { run = "test {key} != Pen1031b" }
[pipelines.other]
items = "records"
steps.s.run = "true"
"""
ODD = "a*b [x]?%2F#&<b>"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with inside(tmp_path_factory.mktemp("search"), toml=TOML) as found:
        found.project.push("spikes", ["Pen1031", "Pen1031b", "Pen2000", ODD, "deadbeefcafe"])
        found.project.push("other", ["Pen2000", "xPen9", "-rf"])
        found.project.run()
        yield found


def search(lab, text):
    return lab.client().get(address("search", q=text), headers={"accept": "text/html"})


@pytest.mark.parametrize("key", ["Pen1031", ODD, "-rf", "xPen9", "deadbeefcafe"])
def test_a_key_leads_straight_to_its_item(lab, key):
    answer = search(lab, key)
    assert answer.status_code == 303, answer.text
    page = lab.client().get(answer.headers["location"])
    assert page.status_code == 200
    assert key in words_of(page.text)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Pen2000", ["Pen2000", "Pen2000"]),
        ("Pen", ["Pen1031", "Pen1031b", "Pen2000", "Pen2000", "xPen9"]),
        ("en1", ["Pen1031", "Pen1031b"]),
        ("Pen*1*", ["Pen1031", "Pen1031b"]),
        ("*[19]", ["Pen1031", "xPen9"]),
        ("nothing", []),
        ("", []),
    ],
)
def test_what_fits_is_listed_once_where_it_fits_best(lab, text, keys):
    answer = search(lab, text)
    assert answer.status_code == 200
    found = re.findall(r'<th scope="row"><a href="/item[^"]*">([^<]*)</a>', answer.text)
    assert sorted(found) == sorted(keys)


def test_a_part_that_only_one_key_has_leads_to_it(lab):
    assert "Pen1031b" in search(lab, "1031b").headers["location"]


def test_attempts_and_pipelines_are_found_too(lab):
    attempt = lab.project.attempts("Pen1031b")[0].id
    assert search(lab, attempt).headers["location"] == f"/log?attempt={attempt}"
    assert "/pipeline?pipeline=spikes" in search(lab, "spike").text
    assert search(lab, "0" * 32).status_code == 200


@pytest.mark.parametrize(
    "text", ["\0", "x" * 1_000, "[", "*" * 40, "%", "a%2Fb", "'; --", "\u202eevil"]
)
def test_no_text_breaks_the_search(lab, text):
    answer = search(lab, text)
    assert answer.status_code in (200, 303)
    assert "\u202e" not in answer.text


def test_what_was_not_looked_through_is_said(lab, monkeypatch):
    monkeypatch.setattr(searching, "AMONG", 2)
    words = words_of(search(lab, "en1").text)
    assert "Nothing fits" in words
    assert "only the items that were registered last are looked through" in words
    monkeypatch.setattr(searching, "SHOWN", 1)
    assert "There may be more" in words_of(search(lab, "Pen").text)


@pytest.mark.parametrize("text", ["Pen1", "en1", "Pen*1", "*1", "spikes"])
def test_no_search_reads_all_of_a_table(lab, text):
    seen = []
    lab.app.state.panel.expire()
    with listening(lab.site.project.store.engine, seen):
        search(lab, text)
    for text_, values in seen:
        assert "OFFSET" not in text_ or values[-1] == 0, text_
        if re.match(r"\s*(SELECT|WITH)\b", text_, re.IGNORECASE):
            steps = plan(lab.site.project.store, text_, values)
            assert not [one for one in steps if reads_all(one) and "pipeline" not in one], text_


def test_the_overview_and_the_report_draw_what_ended_in_each_hour(lab):
    page = lab.client().get("/overview", headers={"accept": "text/html"}).text
    assert "4 tasks done, 1 failed in the last 24 hours, 5 an hour at most" in words_of(page)
    assert re.search(r'class="spark"', page)
    from stoker.web.panel.report import report_of_project

    report = report_of_project(lab.project).decode()
    assert "4 tasks done, 1 failed in the last 24 hours" in words_of(report)
