"""The pages that show how everything is going on, and the repairs from them."""

import asyncio
import csv
import gzip
import html
import io
import re
import shlex
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest

from integration.web.conftest import LIMIT_S
from integration.web.inside import inside, served
from stoker.cli.main import main
from stoker.model.selection import Selection
from stoker.web.panel import repair, spreadsheet
from store.test_paging import listening, plan, reads_all

NASTY = "<script>alert(1)</script> &\"'#?/%25 x"
LONG = "a" * 400
TOML = r"""
[project]
name = "lab"
[web]
anonymous = "viewer"
[pools]
ram = 2
[pipelines.sort]
title = "Spike <b>sorting</b>"
items = "records"
[pipelines.sort.steps.make]
run = '''
case "$STOKER_KEY" in ok*) exit 0;; licence*) echo "no license left" >&2; exit 1;; esac
printf 'bar 10%%\rbar 99%%\n\033[31mValueError\033[0m: <i>channel</i> \377 is empty\n' >&2
exit 1
'''
pools = { ram = 1 }
[[pipelines.sort.steps.make.causes]]
match = "no license"
say = "Licences used up"
do = "wait, then `stoker retry`"
[pipelines.sort.steps.after]
after = ["make"]
run = "true"
[pipelines.idle]
items = "records"
steps.only = { run = "true", needs = ["nowhere"] }
"""


@contextmanager
def a_lab(folder, toml=TOML):
    """A project in which some has been done, some has failed, some is held and some waits."""
    with inside(folder, toml=toml) as found:
        some = ["ok1", "ok2", "licence1", "licence2", "licence3", NASTY, LONG]
        found.project.push("sort", some)
        found.project.run("sort")
        found.project.push("idle", ["held", "waits"])
        found.project.hold("held", reason="until <b>Ada</b> is back")
        found.user("olga", "operator")
        found.user("sam", "submitter")
        yield found


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One that all look at, and nobody changes."""
    with a_lab(tmp_path_factory.mktemp("looked_at")) as found:
        yield found


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """One that is repaired."""
    with a_lab(tmp_path_factory.mktemp("repaired")) as found:
        yield found


def address(path, **query):
    return f"/{path}?" + "&".join(
        f"{name}={quote(value, safe='')}" for name, value in query.items()
    )


PAGES = (
    "/overview",
    "/failures",
    address("failures", pipeline="sort", step="make"),
    "/items",
    "/tasks",
    address("tasks", pipeline="sort", step="make", state="failed", cause="Licences used up"),
    address("items", state="failed"),
    address("item", key=NASTY),
    address("item", key="held", pipeline="idle"),
    address("item", key="ok1"),
    address("pipeline", pipeline="sort"),
    "/timeline",
    "/timeline?by=steps&colour=step",
    "/machines",
    "/pool?pool=ram",
    "/settings",
    address("versions", pipeline="sort"),
    "/sources",
    "/journal",
    "/journal?who=all",
)


def look(lab, path, **more):
    """A page as a stranger gets it who may look."""
    answer = lab.client(**more).get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def words_of(page):
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def ageless(words):
    """The same without how long ago something was."""
    return re.sub(r"[\w.]+ \w+ ago|just now", "ago", words)


def ask(browser, verb, **chosen):
    """The fields of the form that asks whether to do it."""
    page = browser.get(address("repair", verb=verb, **chosen)).text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    return {name: html.unescape(value) for name, value in fields.items()}, words_of(page)


def test_the_overview_says_it_in_a_sentence_and_shows_the_largest_cause(lab):
    seen = words_of(look(lab, "/overview"))
    assert "2 of 9 items done; 5 failed tasks, most by one cause; 1 item held." in seen
    assert "no worker is alive, and tasks wait for one" in seen.lower()
    assert "3 Licences used up" in seen
    assert "What to do: wait, then stoker retry" in seen
    first = words_of(look(lab, "/"))
    assert ageless(first) == ageless(seen), "the first page of those who may look"


def test_an_item_opens_with_its_reason_why_and_the_last_words(lab):
    failed = look(lab, address("item", key=NASTY))
    seen = words_of(failed)
    assert "it failed and has no retries left" in seen
    assert "bar 99% ValueError: <i>channel</i> \\xff is empty" in seen
    assert "bar 10% " not in seen, "the last state of a bar is enough"
    assert seen.index("it failed") < seen.index("Last words") < seen.index("Steps")
    assert "until <b>Ada</b> is back" in words_of(look(lab, address("item", key="held")))
    causes = words_of(look(lab, "/failures"))
    assert "2 ValueError: <i>channel</i> � is empty" in causes, "its colours are no part of it"


@pytest.mark.parametrize("path", PAGES)
def test_nothing_from_outside_becomes_markup_or_moves_anything(lab, path):
    page = look(lab, path)
    assert not re.search(r"<script(?! src=)|<i>|<b>Ada|<b>sorting|\x1b|\x00| style=", page), path
    assert re.findall(r'href="(?!/)[^"]*"', page) == ['href="#main"']


def test_every_link_of_a_page_leads_somewhere(lab):
    seen, todo = set(), ["/overview", *PAGES]
    client = lab.client()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = client.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 200, (path, answer.status_code)
        if path.startswith("/timeline?"):
            continue  # there is always a window closer up
        if answer.headers["content-type"].startswith("text/html"):
            todo += map(html.unescape, re.findall(r'<a [^>]*href="(/[^"]*)"', answer.text))
    assert len(seen) > 25


def test_the_command_beside_a_list_prints_the_same(lab, capsys, monkeypatch):
    path = address("tasks", pipeline="sort", step="make", state="failed", cause="Licences used up")
    page = look(lab, path)
    command = html.unescape(
        re.search(r"<summary>As command</summary><pre[^>]*>\n?([^<]*)", page)[1]
    )
    monkeypatch.chdir(lab.file.parent)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert not ended.value.code
    printed = capsys.readouterr().out
    for key in ("licence1", "licence2", "licence3"):
        assert key in printed
        assert key in page
    assert NASTY not in printed


def test_a_list_is_csv_of_all_that_is_selected(lab):
    answer = lab.client().get(address("tasks", pipeline="sort", state="failed", f="csv"))
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["item"] for row in rows} == {"licence1", "licence2", "licence3", NASTY, LONG}
    assert lab.client().get("/tasks?f=csv&state=odd").status_code == 400
    assert spreadsheet._cell("=cmd|' /C calc'!A0") == "'=cmd|' /C calc'!A0"


def test_who_signed_in_is_for_admins_to_read(lab):
    lab.signed_in("olga").close()
    lab.user("root", "admin")
    assert "sign in" not in words_of(look(lab, "/journal?who=all"))
    assert "sign in" in words_of(lab.signed_in("root").get("/journal").text)


def test_the_journal_is_filtered_by_what_which_and_who(lab):
    held = words_of(look(lab, address("journal", event="hold", pipeline="idle")))
    assert "until <b>Ada</b> is back" in held
    assert "push" not in held.partition("Reason")[2]
    of_item = words_of(look(lab, address("journal", who="all", key="ok1")))
    assert "ok1" in of_item
    assert "licence1" not in of_item
    nobody = words_of(look(lab, address("journal", by="nobody else")))
    assert "No row matches these filters" in nobody
    again = look(lab, address("journal", who="all", event="claim", by="", step="make"))
    assert '<input name="event" value="claim"' in again
    assert "who=all&amp;event=claim" not in again.partition("<form")[0]


def test_an_item_that_was_tried_more_than_once_shows_when_on_a_bar(lab):
    page = look(lab, address("item", key="ok1"))
    assert page.count('<svg class="lane"') == 2, "a lane for each step"
    assert "<title>attempt 1 of make: succeeded, " in page
    assert '<svg class="lane"' not in look(lab, address("item", key="held", pipeline="idle"))


def test_a_pipeline_shows_how_long_its_steps_take(lab):
    seen = look(lab, address("pipeline", pipeline="sort"))
    assert "Durations" in words_of(seen)
    assert seen.count("half of the attempts took") == 2 * 2, "a title and a label for each step"
    assert "Durations" not in words_of(look(lab, address("pipeline", pipeline="idle")))


def test_a_cause_says_when_it_was_seen_first_and_last(lab):
    seen = words_of(look(lab, "/failures"))
    assert re.search(r"sort · step make · first [\w. ]+ ago ?, last [\w. ]+ ago", seen)


def test_a_log_is_shown_in_pieces(lab, tmp_path):
    made = lab.project.attempts(NASTY)[0]
    seen = words_of(look(lab, address("log", attempt=made.id)))
    assert "bar 99% ValueError : <i>channel</i> \\xff is empty" in seen
    assert "bytes 0 to " in seen
    assert "Nothing" not in seen
    wrong = ("start=x", "start=1&end=2", "q=%00", "q=" + "x" * 300, "from=-1", "follow=1e9")
    right = ("start=9", "start=99999", "end=9", "q=channel", "q=channel&from=9999", "follow=3")
    for more, status in [(one, 200) for one in right] + [(one, 400) for one in wrong]:
        path = address("log", attempt=made.id) + "&" + more
        assert lab.client().get(path).status_code == status, more
    assert lab.client().get("/log?attempt=nobody").status_code == 400, "no id begins so"
    assert lab.client().get("/log?attempt=" + "f" * 12).status_code == 404
    assert lab.client().get(address("log", attempt=made.id, stream="../x")).status_code == 400


def test_strangers_see_nothing_unless_the_project_lets_them(tmp_path):
    with inside(tmp_path) as closed:
        for path in PAGES:
            assert closed.client().get(path).status_code == 401, path
        assert closed.client(token=closed.token("viewer")).get("/overview").status_code == 200


def test_a_cause_is_retried_with_a_reason_and_the_record_has_who_did_it(bench):
    olga = bench.signed_in("olga")
    chosen = {"pipeline": "sort", "step": "make", "state": "failed", "cause": "Licences used up"}
    fields, seen = ask(olga, "retry", **chosen)
    assert "Retry 3 tasks?" in seen
    assert "3 will be ready again" in seen
    assert "stoker retry --pipeline sort --step make --state failed --cause" in seen
    bad = {**fields, "form_token": "0" * 64}
    assert olga.post("/repair", data=bad).status_code == 403
    assert olga.post("/repair", data={**fields, "n": "2"}).status_code == 409
    assert sum(row.state == "failed" for row in bench.project.each_task(Selection())) == 5
    before = bench.registered
    done = olga.post("/repair", data={**fields, "reason": "paid <the> bill"})
    assert done.status_code == 200
    assert "Retry: 3 tasks" in words_of(done.text)
    assert bench.registered == before + 1, "workers are called"
    assert "Licences used up" not in look(bench, "/failures"), "the pages show it at once"
    (told,) = [one for one in bench.project.show("licence1").happenings if one.event == "retry"]
    assert (told.by, told.reason) == ("olga", "paid <the> bill")
    again = olga.post("/repair", data={**fields, "reason": "paid <the> bill"})
    assert again.status_code == 409, "a page that is sent twice does it once"


def test_one_item_is_held_released_and_cancelled(bench):
    olga = bench.signed_in("olga")
    for verb, state in (("hold", "held"), ("release", "waiting"), ("cancel", "cancelled")):
        page = olga.get(address("item", key="waits", pipeline="idle")).text
        found = re.search(rf'href="(/repair\?verb={verb}[^"]*)"', page)
        path = html.unescape(found[1])
        fields, _ = ask(olga, verb, key="waits", pipeline="idle")
        assert fields["selection"]
        assert path.startswith("/repair?")
        assert olga.post("/repair", data=fields).status_code == 200
        assert bench.project.show("waits").item.state == state


def test_what_comes_to_match_after_the_page_is_not_touched(tmp_path):
    with a_lab(tmp_path) as lab:
        olga = lab.signed_in("olga")
        fields, seen = ask(olga, "hold", pipeline="idle", state="ready")
        assert "These tasks and no others" in seen
        lab.project.push("idle", ["late1", "late2"])
        done = olga.post("/repair", data=fields)
        assert done.status_code == 200
        assert "Hold: 1 task" in words_of(done.text)
        held = {row.item for row in lab.project.tasks(pipeline="idle", state="held")}
        assert held == {"held", "waits"}
        fields, _ = ask(olga, "hold", pipeline="idle", state="ready")
        lab.project.hold("late1")  # one goes and another comes: the number is the same
        lab.project.push("idle", ["later"])
        again = olga.post("/repair", data=fields)
        assert again.status_code == 409
        assert "Only 1 of the 2 tasks that you saw can still be changed" in words_of(again.text)
        assert {row.item for row in lab.project.tasks(state="ready")} >= {"late2", "later"}
        stolen, _ = ask(olga, "hold", pipeline="idle", state="ready")
        lab.user("otto", "operator")
        otto = lab.signed_in("otto")
        own, _ = ask(otto, "hold", pipeline="idle", state="ready")
        mixed = {**own, "frozen": stolen["frozen"]}
        assert otto.post("/repair", data=mixed).status_code == 409, "it was shown to another person"


def test_a_selection_gets_a_priority_with_the_same_command(bench, capsys, monkeypatch):
    olga = bench.signed_in("olga")
    page = olga.get(address("repair", verb="priority", pipeline="idle")).text
    assert 'name="priority"' in page
    fields, seen = ask(olga, "priority", pipeline="idle", state="held", priority="7")
    assert "Set the priority of 1 task to 7?" in seen
    assert "stoker priority --pipeline idle --state held --to 7" in seen
    assert olga.post("/repair", data={**fields, "priority": "9"}).status_code == 409
    done = olga.post("/repair", data={**fields, "reason": "a visitor waits"})
    assert "1 given the new priority" in words_of(done.text)
    assert bench.project.show("held").item.priority == 7
    for text in ("x", "99999999", "1e3"):
        path = address("repair", verb="priority", pipeline="idle", priority=text)
        assert olga.get(path).status_code == 400, text
    monkeypatch.chdir(bench.file.parent)
    with pytest.raises(SystemExit) as ended:
        main(["priority", "--to", "3", "held", "--reason", "it left"])
    assert not ended.value.code
    assert "1 task given the new priority" in capsys.readouterr().out
    assert bench.project.show("held").item.priority == 3


def test_a_list_offers_what_can_be_done_with_all_of_it(lab):
    olga = lab.signed_in("olga")
    for path, verbs in (
        (address("tasks", state="failed"), ["retry", "cancel", "rerun", "priority"]),
        (address("items", state="waiting"), ["hold", "cancel", "priority"]),
        (address("items", state="done"), ["rerun"]),
        ("/items", []),
    ):
        page = olga.get(path).text
        found = [html.unescape(one) for one in re.findall(r'href="(/repair[^"]*)"', page)]
        assert [re.search(r"verb=(\w+)", one)[1] for one in found] == verbs, path
        for one in found:
            assert olga.get(one).status_code == 200, one
    assert "/repair" not in lab.client().get(address("tasks", state="failed")).text


def test_many_are_changed_only_if_their_number_is_typed(bench, monkeypatch):
    monkeypatch.setattr(repair, "SURE", 1)
    olga = bench.signed_in("olga")
    fields, seen = ask(olga, "hold", pipeline="sort", step="after", state="blocked")
    n = fields["n"]
    assert int(n) > 1
    assert f"Type {n}" in seen
    assert olga.post("/repair", data=fields).status_code == 409
    assert olga.post("/repair", data={**fields, "typed": "1"}).status_code == 409
    assert olga.post("/repair", data={**fields, "typed": n}).status_code == 200


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        (None, address("repair", verb="retry", state="failed"), 401),
        ("sam", address("repair", verb="retry", state="failed"), 403),
        ("sam", address("repair", verb="cancel", state="failed"), 200),  # their own: none
        ("olga", "/repair?verb=retry", 400),  # everything
        ("olga", "/repair?verb=drop&state=failed", 400),
        ("olga", address("repair", verb="retry", pipeline="nowhere"), 404),
        ("olga", "/items?state=odd", 400),
        ("olga", "/items?next=nonsense", 400),
        ("olga", "/items?key=%00", 400),
        ("olga", "/items?colour=red", 400),
        ("olga", "/item?key=nobody", 404),
        ("olga", "/item", 400),
        ("olga", "/pipeline?pipeline=nowhere", 404),
        ("olga", "/journal?before=-1", 400),
    ],
)
def test_what_cannot_be_shown_or_done_is_said(lab, name, path, status):
    browser = lab.client() if name is None else lab.signed_in(name)
    answer = browser.get(path, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text
    if path.endswith("verb=cancel&state=failed"):
        assert "There is nothing to do" in words_of(answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_counts_skips_or_reads_all_of_a_table(lab, path):
    seen = []
    lab.app.state.panel.expire()
    with listening(lab.site.project.store.engine, seen):
        look(lab, path)
    assert seen
    for text, values in seen:
        assert "OFFSET" not in text or values[-1] == 0, text
        if not re.match(r"\s*(SELECT|WITH)\b", text, re.IGNORECASE):
            continue
        steps = plan(lab.site.project.store, text, values)
        assert not [
            step for step in steps if reads_all(step) or "item_state (pipeline_id=?)" in step
        ]


def test_fifty_overviews_at_once_cost_the_store_what_one_costs(lab):
    def statements(n):
        seen = []
        lab.app.state.panel.expire()

        async def all_at_once():
            transport = httpx.ASGITransport(lab.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                headers = {"accept": "text/html"}
                asked = [client.get("/overview", headers=headers) for _ in range(n)]
                return {answer.status_code for answer in await asyncio.gather(*asked)}

        with listening(lab.site.project.store.engine, seen):
            assert lab.loop.run(all_at_once()) == {200}
        return len(
            [text for text, _ in seen if text.lstrip().upper().startswith(("SELECT", "WITH"))]
        )

    one = statements(1)
    assert one
    assert statements(50) <= one


def test_the_scripts_of_a_page_are_small_and_ours(lab):
    attempt = next(iter(lab.project.attempts(NASTY))).id
    for path in (
        *PAGES,
        address("log", attempt=attempt),
        address("log", attempt=attempt) + "&follow=0",
    ):
        scripts = re.findall(r'<script src="([^"]*)"', look(lab, path))
        assert scripts
        sizes = [len(gzip.compress(lab.client().get(one).content)) for one in scripts]
        assert sum(sizes) <= 60_000, (path, scripts, sizes)
    style = lab.client().get("/static/panel.css").text
    assert "url(" not in style
    assert "@import" not in style


def test_a_stream_that_broke_off_misses_nothing_and_ends_with_the_service(tmp_path):
    with a_lab(tmp_path) as lab, served(lab) as url:
        with httpx.stream("GET", f"{url}/stream", timeout=LIMIT_S) as stream:
            lines = stream.iter_lines()
            first = next(line for line in lines if line.startswith("id: "))[4:]
            lab.project.hold("waits")
            assert next(lines_of_events(lines)) != first
        lab.project.release("waits")
        headers = {"last-event-id": first}
        with httpx.stream("GET", f"{url}/stream", timeout=LIMIT_S, headers=headers) as stream:
            events = lines_of_events(stream.iter_lines())
            assert int(next(events)) > int(first)
            lab.stop()
            assert list(events) == []


def lines_of_events(lines):
    """The ids of the events that come, each with its data."""
    number = None
    for line in lines:
        if line.startswith("id: "):
            number = line[4:]
        elif line.startswith("data: "):
            yield number
