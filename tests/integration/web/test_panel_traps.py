"""Traps that the pages of other tools fell into, each by its number in the design."""

import html
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from integration.web.inside import form_token, inside
from integration.web.test_panel import PAGES, TOML, a_lab, address, ask, look, words_of
from store.test_paging import listening

WAITING = """
[project]
name = "lab"
[web]
anonymous = "viewer"
[pipelines.bulk]
items = "records"
steps.only = { run = "true", needs = ["nowhere"] }
"""
ODD = [
    "a/b", "a%2Fb", "a//b", "a b", "q?x=1&y#z", "%25", "processes", "ключ-\u202eabc", "x" * 1000, "+",
    "a\\b", "';--", "<b>", "[x]*?", "-rf", '"', "items",
]  # fmt: skip


def push_many(lab, folder, names):
    listed = folder / "names.txt"
    listed.write_text("".join(f"{name}\n" for name in names))
    lab.project.push("bulk", from_file=str(listed))


def test_trap_15_fifty_overviews_cost_the_store_what_one_costs(tmp_path):
    with a_lab(tmp_path) as lab:
        one, fifty = [], []
        lab.site.project.status()
        lab.app.state.panel.expire()
        with listening(lab.site.project.store.engine, one):
            look(lab, "/overview")
        client = lab.client()
        with listening(lab.site.project.store.engine, fifty):
            for _ in range(50):
                assert client.get("/overview", headers={"accept": "text/html"}).status_code == 200
        assert one
        assert len(fifty) <= 10 * len(one), "read again once a second at most, not fifty times"


def test_trap_16_all_that_was_counted_is_changed_on_whatever_page_and_nothing_else(tmp_path):
    with inside(tmp_path, toml=WAITING) as lab:
        push_many(lab, tmp_path, [f"r{n:05}" for n in range(2_300)])
        lab.user("olga", "operator")
        olga = lab.signed_in("olga")
        fields, seen = ask(olga, "hold", pipeline="bulk", state="ready")
        assert "Hold 2,300 tasks?" in seen
        assert "Type 2300" in seen
        push_many(lab, tmp_path, [f"late{n}" for n in range(50)])
        done = words_of(olga.post("/repair", data={**fields, "typed": "2,300"}).text)
        assert "Hold: 2,300 tasks" in done
        held = lab.project.status().pipelines["bulk"].tasks["held"]
        assert held == 2_300
        assert {row.item for row in lab.project.tasks(state="ready")} == {
            f"late{n}" for n in range(50)
        }


def test_trap_18_what_a_program_wrote_is_never_a_page_of_ours(tmp_path):
    evil = "<script>alert(1)</script><svg onload=alert(2)>"
    toml = WAITING.replace('"true", needs = ["nowhere"]', f"\"echo '{evil}'\"")
    with inside(tmp_path, toml=toml) as lab:
        lab.project.push("bulk", ["one"])
        lab.project.run()
        made = lab.project.attempts("one")[0].id
        page = look(lab, address("log", attempt=made, stream="stdout"))
        assert evil not in page
        assert html.escape(evil) in page or "&lt;script&gt;" in page
        raw = lab.client().get(address("api/v1/logs/stdout", attempt=made))
        assert evil in raw.text
        assert raw.headers["x-content-type-options"] == "nosniff"
        assert not re.search("html|svg|xml", raw.headers["content-type"])


def test_trap_23_a_window_means_the_same_in_every_zone(tmp_path):
    with a_lab(tmp_path) as lab:
        at = datetime.now(UTC).replace(microsecond=0)
        seen = set()
        for hours in (0, 14, -10, 5.75):
            zone = timezone(timedelta(hours=hours))
            begin, end = ((at + timedelta(minutes=n)).astimezone(zone) for n in (-60, 60))
            path = address("timeline", **{"from": begin.isoformat(), "to": end.isoformat()})
            page = look(lab, path)
            window = re.search(r"<time[^>]*>([^<]*)</time> to <time[^>]*>([^<]*)</time>", page)
            seen.add((window.groups(), page.count('tabindex="-1"')))
        assert len(seen) == 1
        assert seen.pop()[1] > 0


def test_trap_24_keys_of_any_text_have_pages_of_their_own(tmp_path):
    with inside(tmp_path, toml=WAITING) as lab:
        lab.project.push("bulk", ODD)
        lab.user("olga", "operator")
        olga = lab.signed_in("olga")
        listed = {html.unescape(one) for one in re.findall(r'href="(/item\?[^"]*)"', look(lab, "/items"))}  # fmt: skip
        assert len(listed) == len(ODD)
        for key in ODD:
            answer = lab.client().get(address("search", q=key), headers={"accept": "text/html"})
            assert answer.status_code == 303, (key, answer.text)
            assert answer.headers["location"] in listed, key
            page = olga.get(answer.headers["location"]).text
            repair = html.unescape(re.search(r'href="(/repair\?verb=hold[^"]*)"', page)[1])
            assert "Hold 1 task?" in words_of(olga.get(repair).text), key


def test_trap_25_pages_without_worker_item_or_pipeline_help(tmp_path):
    with inside(tmp_path, toml='[project]\nname = "new"\n[web]\nanonymous = "viewer"\n') as lab:
        lab.user("root", "admin")
        root = lab.signed_in("root")
        said = {
            "/overview": "No pipeline yet",
            "/items": "No item",
            "/failures": "Nothing has failed",
            "/timeline": "Nothing has run yet",
            "/machines": "No worker is alive",
            "/sources": "No source",
            "/settings": "No pipeline has been taken over yet",
            "/people": "No token yet",
            "/search": "What do you look for?",
            "/search?q=x": "Nothing fits",
            "/journal": "Nobody has",
        }
        for path, words in said.items():
            answer = root.get(path, headers={"accept": "text/html"})
            assert answer.status_code == 200, path
            if path != "/journal":  # it has who was made a user
                assert words in words_of(answer.text), path


def test_trap_25_three_hundred_steps_stay_usable(tmp_path):
    steps = "".join(f'steps.s{n} = {{ run = "true", after = ["first"] }}\n' for n in range(300))
    toml = WAITING + f'[pipelines.wide]\nitems = "records"\nsteps.first.run = "true"\n{steps}'
    with inside(tmp_path, toml=toml) as lab:
        lab.project.push("wide", ["one"])
        page = look(lab, address("pipeline", pipeline="wide"))
        assert len(re.findall(r'href="/tasks\?pipeline=wide&amp;step=s\d+"', page)) >= 300
        assert len(page.encode()) < 1_000_000


def test_trap_25_a_pipeline_that_changed_while_the_page_was_open_is_asked_about_again(tmp_path):
    with inside(tmp_path, toml=TOML) as lab:
        lab.project.push("sort", ["ok1", "ok2"])
        lab.user("olga", "operator")
        olga = lab.signed_in("olga")
        fields, seen = ask(olga, "hold", pipeline="sort", step="after")
        assert "Hold 2 tasks?" in seen
        without = TOML.replace('[pipelines.sort.steps.after]\nafter = ["make"]\nrun = "true"\n', "")
        assert without != TOML
        lab.file.write_text(without)
        type(lab.project)(lab.file).apply()
        answer = olga.post("/repair", data=fields)
        assert answer.status_code in (400, 404, 409), answer.text
        for path in ("/overview", address("pipeline", pipeline="sort"), "/timeline", "/settings"):
            look(lab, path)


def test_trap_22_no_new_page_is_open_to_strangers(tmp_path):
    with inside(tmp_path) as closed:
        for path in {*PAGES, "/people", "/search?q=x", "/timeline", "/pool?pool=x", "/settings"}:
            assert closed.client().get(path).status_code == 401, path
        viewer = closed.client(token=closed.token("viewer"))
        assert viewer.get("/people").status_code == 403
        token = form_token(closed.client())
        for path in ("/people", "/pool"):
            assert closed.client().post(path, data={"form_token": token}).status_code == 401


@pytest.mark.parametrize(
    "path", ["/timeline?after=%00", "/search?q=%FF", "/timeline?last=1h&last=2h"]
)
def test_trap_24_texts_that_no_page_expects_are_no_bugs(tmp_path, path):
    with inside(tmp_path, toml=WAITING) as lab:
        answer = lab.client().get(path, headers={"accept": "text/html"})
        assert answer.status_code in (200, 303, 400), answer.text
