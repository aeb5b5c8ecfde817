"""The pages of the panel as people use them: in a browser, with keys, on a phone, with and without scripts."""

import datetime as dt
import threading
import time
from subprocess import CalledProcessError

import httpx
import pytest

import servers
from integration.web.conftest import LIMIT_S, wait_until
from integration.web.inside import PASSWORD, inside, served
from integration.web.test_panel import NASTY, PAGES, TOML, a_lab, address, words_of
from npm import AXE, from_npm

PHONE = {"width": 360, "height": 740}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
HIDE = """
Object.defineProperty(document, "hidden", {value: %s, configurable: true});
document.dispatchEvent(new Event("visibilitychange"))
"""

SWAP = """async (n) => {
    const others = new BroadcastChannel("stoker");
    for (let i = 0; i < n; i += 1) {
        const swapped = new Promise((go) => document.addEventListener("stoker:fresh", go, {once: true}));
        others.postMessage({isStreaming: true, number: `${i}`});
        await swapped;
        await new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
    }
    others.close();
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A project that is served, and whose pages nobody changes."""
    with a_lab(tmp_path_factory.mktemp("seen")) as found, served(found) as found.url:
        yield found


@pytest.fixture
def browse(chromium):
    """Make pages, each in a browser of its own; at the end no script has failed."""
    made, wrong = [], []

    def make(url, *, context=None, **options):
        if context is None:
            context = chromium.new_context(base_url=url, **options)
            context.set_default_timeout(LIMIT_S * 1000)
            context.asked = []
            context.on("request", lambda one: context.asked.append(one.url))
            made.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        return page

    yield make
    asked = [one for context in made for one in context.asked]
    for context in made:
        context.close()
    assert wrong == []
    assert not [one for one in asked if "://127.0.0.1:" not in one], "everything is from here"


def sign_in(page, name):
    page.goto("/sign-in")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)


def pages_of(lab):
    """Every kind of page that a person who may repair sees."""
    attempt = next(iter(lab.project.attempts(NASTY))).id
    kinds = {path.partition("?")[0]: path for path in reversed(PAGES)}  # the first of each
    return (
        *kinds.values(),
        address("item", key="held", pipeline="idle"),
        address("log", attempt=attempt),
        address("log", attempt=attempt, q="channel"),
        address("repair", verb="retry", pipeline="sort", state="failed"),
        address("repair", verb="release", key="ok1"),
        "/item?key=nobody",
        "/account",
    )


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", {"width": 1280, "height": 900}), ("dark", PHONE)]
)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(lab, browse, scheme, size):
    try:
        axe = from_npm(AXE, "axe.min.js").read_text("utf-8")
    except (OSError, CalledProcessError):
        servers.unavailable("npm's registry is out of reach: nothing was looked at by axe-core")
    page = browse(lab.url, viewport=size, color_scheme=scheme, bypass_csp=True)
    sign_in(page, "olga")
    found = []
    for path in pages_of(lab):
        page.goto(path)
        page.evaluate(axe)
        seen = page.evaluate("(rules) => axe.run(document, rules)", RULES)["violations"]
        found += [(path, one["id"], one["nodes"][0]["html"][:200]) for one in seen]
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += [(path, wide)] if wide > size["width"] else []
    assert found == []


def test_pages_fit_a_phone_without_javascript(lab, browse):
    page = browse(lab.url, java_script_enabled=False, viewport=PHONE)
    for path in pages_of(lab):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    page.goto("/overview")
    page.get_by_role("link", name="Look").first.click()
    page.wait_for_url("**/tasks?*")


def test_pages_follow_what_happens_by_one_stream_of_a_browser(tmp_path, browse):
    """Ten of them (trap 13): a browser has six connections to a host, and pages need some."""
    with a_lab(tmp_path) as lab, served(lab) as url:
        first = browse(url)
        context = first.context
        pages = [first, *(browse(url, context=context) for _ in range(9))]
        for page in pages:
            page.goto("/overview")

        def streams():
            return sum(one.endswith("/stream") for one in context.asked)

        wait_until(lambda: first.text_content("#clock") == "live")
        first.evaluate("document.querySelector('details').open = true; window.kept = 7")
        lab.project.hold("waits", reason="for a test")
        for page in pages:
            wait_until(lambda page=page: "2 held" in words_of(page.inner_html(".counters")))
        kept = "[document.querySelector('details').open, window.kept]"
        assert first.evaluate(kept) == [True, 7]
        assert streams() == 1
        first.evaluate(HIDE % "true")
        assert first.text_content("#clock") == "paused"
        wait_until(lambda: pages[1].title() and streams() == 2)  # another tab has taken over
        lab.project.release("waits")
        wait_until(lambda: "1 held" in words_of(pages[1].inner_html(".counters")))
        assert "2 held" in words_of(first.inner_html(".counters")), "a hidden tab asks for nothing"
        first.evaluate(HIDE % "false")
        wait_until(lambda: "1 held" in words_of(first.inner_html(".counters")))
        assert streams() == 2


def clock(page):
    return page.text_content("#clock")


def test_where_streams_are_cut_pages_look_by_themselves(tmp_path, browse):
    with a_lab(tmp_path) as lab, served(lab) as url:
        page = browse(url)
        page.route("**/stream", lambda route: route.abort())
        page.clock.install()
        page.goto("/overview")
        wait_until(lambda: clock(page) == "looks every 15 s")
        lab.project.hold("waits")
        page.clock.run_for(16_000)
        wait_until(lambda: "2 held" in words_of(page.inner_html(".counters")))


def test_a_dropped_stream_is_resumed_and_misses_nothing(tmp_path, browse):
    with a_lab(tmp_path) as lab, served(lab) as url:
        page = browse(url)
        page.goto("/overview")
        wait_until(lambda: clock(page) == "live")
        page.context.set_offline(True)
        page.evaluate("dispatchEvent(new Event('offline'))")
        page.evaluate(HIDE % "true")  # and meanwhile the laptop was closed
        lab.project.hold("waits")
        page.evaluate(HIDE % "false")
        wait_until(lambda: "does not answer since" in page.inner_text("#away"))
        assert "What you see is from" in page.inner_text("#away")
        assert "1 held" in words_of(page.inner_html(".counters"))
        page.context.set_offline(False)
        wait_until(lambda: "2 held" in words_of(page.inner_html(".counters")))
        wait_until(lambda: clock(page) == "live")
        assert page.inner_text("#away") == ""


def test_a_store_that_goes_away_is_said_and_its_return_is_seen(tmp_path, browse):
    server = servers.require("postgresql")()
    try:
        toml = f'{TOML}\n[store]\nurl = "{server.new_database("away")}"\n'
        with a_lab(tmp_path, toml) as lab, served(lab) as url:
            mine, other = browse(url), browse(url)
            sign_in(mine, "olga")
            paths = ("/failures", "/machines", address("pipeline", pipeline="sort"), "/overview")
            for path in paths:  # each has been looked at before
                mine.goto(path)
            other.goto("/items")
            server.stop()
            lab.site.project.store.engine.dispose()
            wait_until(lambda: "store away since" in clock(mine), dump=lambda: clock(mine))
            said = mine.inner_text("#away")
            assert "The store is away" in said
            assert "What you see is from" in said
            assert mine.locator(".actions a", has_text="Retry all").first.is_visible() is False
            assert "5 failed" in words_of(mine.inner_html(".counters"))
            wait_until(lambda: "does not answer since" in other.inner_text("#away"))
            assert other.locator("main tbody tr").count(), "what was there can still be read"
            for path in paths:
                answer = mine.goto(path)
                assert answer.status == 200, path
                assert "The store is away" in mine.inner_text("#away"), path
            answer = mine.goto("/items")
            assert answer.status == 503
            assert "olga" not in mine.content() or "Sign out" in mine.content()
            mine.goto("/overview")
            server.start()
            wait_until(lambda: clock(mine) == "live")
            assert mine.inner_text("#away") == ""
            lab.project.hold("waits")
            wait_until(lambda: "2 held" in words_of(mine.inner_html(".counters")))
    finally:
        server.close()


def test_two_browsers_see_what_the_other_did_and_do_not_do_it_twice(tmp_path, browse):
    with a_lab(tmp_path) as lab, served(lab) as url:
        olga, ada = browse(url), browse(url)
        for page in (olga, ada):
            sign_in(page, "olga")
            page.goto("/overview")
            page.get_by_role("link", name="Retry all…").first.click()
            page.wait_for_url("**/repair?*")
        watching = browse(url)
        watching.goto("/failures")
        olga.fill("[name=reason]", "the licences are back")
        olga.click("button.main")
        assert "Retry: 3 tasks" in olga.inner_text("main")
        wait_until(lambda: "Licences used up" not in watching.inner_text("main"))
        ada.click("button.main")
        ada.wait_for_load_state()
        assert "3 tasks" not in ada.inner_text("h1")
        retried = [
            one for one in lab.project.record.page(only_people=True).rows if one.event == "retry"
        ]
        assert sorted(one.item for one in retried) == ["licence1", "licence2", "licence3"]


def test_a_thousand_swaps_leave_memory_and_connections_as_they_were(tmp_path, browse):
    with a_lab(tmp_path) as lab, served(lab) as url:
        page = browse(url)
        page.goto("/overview")
        wait_until(lambda: clock(page) == "live")
        page.evaluate(
            "window.setTimeout = ((real) => (go, wait) => real(go, wait > 500 ? 0 : wait))(setTimeout)"
        )
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.enable")

        def measured():
            session.send("HeapProfiler.collectGarbage")
            found = session.send("Performance.getMetrics")["metrics"]
            return {one["name"]: one["value"] for one in found}

        session.send("Performance.enable")
        page.evaluate(SWAP, 100)
        before = measured()
        page.evaluate(SWAP, 1_000)
        after = measured()
        assert after["Nodes"] <= before["Nodes"] + 500, (before, after)
        assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] + 2_000_000
        assert after["JSEventListeners"] <= before["JSEventListeners"] + 20
        assert sum(one.endswith("/stream") for one in page.context.asked) == 1


# ------------------------------------------------------------------------------- keys and times


def focused(page):
    return page.evaluate("document.activeElement.textContent.trim()")


def test_everything_is_reached_by_keys_alone(tmp_path, browse):
    with a_lab(tmp_path) as lab, served(lab) as url:
        page = browse(url)
        sign_in(page, "olga")
        page.goto("/overview")
        page.keyboard.press("Tab")
        assert focused(page) == "Skip to the content"
        page.keyboard.press("g")
        page.keyboard.press("i")
        page.wait_for_url("**/items")
        page.keyboard.press("/")
        page.keyboard.type("licence*")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search?q=licence*")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("j")
        assert focused(page) == "licence2"
        page.keyboard.press("Enter")
        page.wait_for_url("**/item?key=licence2*")
        page.keyboard.press("[")
        page.wait_for_url("**/item?key=licence1*")
        page.keyboard.press("]")
        page.wait_for_url("**/item?key=licence2*")
        page.keyboard.press("r")
        page.wait_for_url("**/repair?*")
        page.get_by_label("Reason").focus()
        page.keyboard.type("by keys: j g o")
        page.keyboard.press("Enter")
        page.locator("h1[role=status]").wait_for()
        assert lab.project.show("licence2").item.state == "waiting"
        page.keyboard.press("?")
        page.get_by_label("use these keys").uncheck()
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
        where = page.url
        page.keyboard.press("g")
        page.keyboard.press("o")
        assert page.url == where


@pytest.mark.parametrize(("zone", "local"), [("Pacific/Kiritimati", 14), ("Pacific/Honolulu", -10)])
def test_times_are_local_or_utc_as_the_switch_says(lab, browse, zone, local):
    page = browse(lab.url, timezone_id=zone)
    page.goto("/journal?who=all")
    one = page.locator("time[data-moment]").first
    exact = dt.datetime.fromisoformat(one.get_attribute("datetime"))
    there = exact.astimezone(dt.timezone(dt.timedelta(hours=local)))
    assert one.inner_text().startswith(f"{there:%Y-%m-%d %H:%M:%S} GMT{local:+d}")
    assert f"{exact:%Y-%m-%d %H:%M:%S} UTC" in one.get_attribute("title")
    page.click("text=local time")
    assert one.inner_text() == f"{exact:%Y-%m-%d %H:%M:%S} UTC"
    page.goto(address("item", key=NASTY))
    assert page.locator("time[data-moment]").first.inner_text().endswith(" UTC")
    page.click("button.zone")
    assert page.locator("time[data-moment]").first.inner_text().endswith(f"GMT{local:+d}")
    plain = browse(lab.url, timezone_id=zone, java_script_enabled=False)
    plain.goto("/journal?who=all")
    assert plain.locator("time[data-moment]").first.inner_text().endswith(" UTC")


def test_a_table_is_sorted_and_a_marked_part_of_the_timeline_becomes_the_window(lab, browse):
    page = browse(lab.url)
    page.goto("/timeline?last=all")
    page.click("summary:has-text('As a list')")
    head = page.locator("details th", has_text="State")
    for order, falls in (("ascending", False), ("descending", True)):
        head.get_by_role("button").click()
        states = [one.split()[-1] for one in page.locator("details .badge").all_inner_texts()]
        assert head.get_attribute("aria-sort") == order
        assert states == sorted(states, reverse=falls)
        assert len(set(states)) > 1
    page.goto("/timeline?last=all")
    box = page.locator("svg.lane").first.bounding_box()
    begin_us = int(page.locator("table[data-brush]").get_attribute("data-begin"))
    end_us = int(page.locator("table[data-brush]").get_attribute("data-end"))
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], y, steps=4)
    page.mouse.move(box["x"] + 1.5 * box["width"], y, steps=4)
    page.mouse.up()
    page.wait_for_url("**/timeline?from=*")  # where perhaps nothing ran
    window = httpx.URL(page.url).params
    low, high = (dt.datetime.fromisoformat(window[name]).timestamp() for name in ("from", "to"))
    assert low * 1e6 == pytest.approx((begin_us + end_us) / 2, abs=0.05 * (end_us - begin_us))
    assert high * 1e6 == pytest.approx(end_us, abs=0.05 * (end_us - begin_us))


# ---------------------------------------------------------------------------------------- logs

TALK = """
[web]
anonymous = "viewer"
[pipelines.talk]
items = "records"
[pipelines.talk.steps.s]
run = '''
until [ -e {folder}/$STOKER_KEY ]; do sleep 0.05; done
bash {folder}/$STOKER_KEY 2>&1
'''
"""


class Talk:
    """A project whose attempt writes what it is given to write."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder
        self._working = None

    def say(self, script, key="k"):
        """An attempt runs the script; return the attempt's id."""
        self.lab.project.push("talk", [key])
        (self.folder / f".{key}").write_text(script)
        (self.folder / f".{key}").rename(self.folder / key)
        self._working = threading.Thread(target=self.lab.project.run)
        self._working.start()
        found = []
        wait_until(lambda: found.extend(self.lab.project.attempts(key)) or found)
        return found[0].id

    def go(self, name):
        (self.folder / name).touch()

    def end(self):
        if self._working is not None:
            self._working.join(LIMIT_S)
            assert not self._working.is_alive()


@pytest.fixture
def talk(tmp_path):
    folder = tmp_path / "says"
    folder.mkdir()
    with inside(tmp_path / "lab", toml=TALK.format(folder=folder)) as lab, served(lab) as lab.url:
        found = Talk(lab, folder)
        yield found
        for name in ("one", "two", "three"):
            found.go(name)
        found.end()


def waits(talk, name):
    return f"until [ -e {talk.folder}/{name} ]; do sleep 0.05; done\n"


def shown(page):
    return page.locator("#lines").inner_text().rstrip("\n").split("\n")


def test_a_log_grows_on_its_page_in_its_colours_and_ends(talk, browse):
    script = (
        r"printf 'begins\npart'" + "\n" + waits(talk, "one")
        + r"printf ' of a line\n\033[32mgreen\033[0m <b>\n 1%%\r99%%\n'; seq 7000" + "\n"
        + waits(talk, "two") + "echo the end\n"
    )  # fmt: skip
    attempt = talk.say(script)
    page = browse(talk.lab.url)
    where = address("log", attempt=attempt, stream="stdout")
    page.goto(where)
    wait_until(lambda: page.reload() and shown(page) == ["begins", "part"])
    page.evaluate("window.kept = 7")
    talk.go("one")
    page.locator("#lines li", has_text="7000").wait_for()
    lines = page.locator("#lines li")
    assert lines.count() <= 5_000
    assert page.evaluate("document.querySelector('#lines ol').start") + lines.count() == 7_005
    page.evaluate(HIDE % "true")
    asked = len(page.context.asked)
    talk.go("two")
    talk.end()
    page.wait_for_timeout(1500)  # longer than between two looks
    assert len(page.context.asked) == asked, "a hidden tab asks for nothing"
    page.evaluate(HIDE % "false")
    page.locator("#lines li", has_text="the end").wait_for()
    page.locator(".badge.done").wait_for()
    assert page.evaluate("window.kept") == 7
    assert page.locator("#again").count() == 0
    page.goto(where + "&start=0")
    first = shown(page)
    assert first[:5] == ["begins", "part of a line", "green <b>", "99%", "1"]
    assert page.locator("#lines .c2").inner_text() == "green"


def test_a_log_of_two_gigabytes_is_read_searched_and_downloaded(talk, browse):
    script = (
        "printf 'first line\\n' >&1\n"
        "python3 -c 'import os; os.truncate(\"/proc/self/fd/1\", 2 << 30)'\n"
        "printf '\\nx%.0s' $(seq 9); echo; head -c 200000 /dev/zero | tr '\\0' y; echo\n"
        "printf 'Needle \\377 of the end\\n'\n" + waits(talk, "one")
    )
    attempt = talk.say(script)
    client = httpx.Client(base_url=talk.lab.url, timeout=LIMIT_S)
    where = {"attempt": attempt, "stream": "stdout"}
    wait_until(lambda: "of the end" in client.get("/log", params=where).text)
    for more in ({}, {"start": "0"}, {"start": str(1 << 30)}, {"end": str(1 << 30)}):
        began = time.monotonic()
        answer = client.get("/log", params={**where, **more})
        assert answer.status_code == 200
        assert time.monotonic() - began < 5
        assert len(answer.content) < 1_000_000, more
    page = browse(talk.lab.url, java_script_enabled=False)
    page.goto(address("log", attempt=attempt, stream="stdout"))
    assert "of the end" in shown(page)[-1]
    page.fill("main [name=q]", "nEEDLE")
    page.click("main button:text-is('Search')")
    for _ in range(60):  # a search that would take long goes on by a link
        if page.locator(".hits").count():
            break
        page.click("text=Search on")
    assert page.locator(".hits li").count() == 1
    assert page.locator(".hits mark").inner_text() == "Needle"
    page.click(".hits a")
    assert page.locator(":target").inner_text().startswith("Needle \\xff of the end")
    page.click("text=Earlier")
    assert page.locator("#lines details").first.text_content().endswith("yyyy")
    with client.stream("GET", "/log/file", params=where) as download:
        assert int(download.headers["content-length"]) > 2 << 30
        assert "attachment" in download.headers["content-disposition"]
        assert next(download.iter_bytes(100)).startswith(b"first line")
    assert int(client.head("/log/file", params=where).headers["content-length"]) > 2 << 30
    client.close()
