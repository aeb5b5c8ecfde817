"""The pages on which admins manage users, tokens and pools."""

import html
import re
from contextlib import closing

import pytest

from integration.web.inside import form_token, inside, sign_in
from integration.web.test_panel import address, words_of

TOML = """
[project]
name = "lab"
[web]
anonymous = "viewer"
[pools]
ram = 2
gpu = { slots = ["left", "right"] }
[pipelines.p]
items = "records"
steps.s = { run = "true", pools = { ram = 1 } }
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with inside(tmp_path_factory.mktemp("people"), toml=TOML) as found:
        found.user("root", "admin")
        found.user("olga", "operator")
        yield found


@pytest.fixture(scope="module")
def root(lab):
    with closing(lab.signed_in("root")) as browser:
        yield browser


def send(browser, path, **fields):
    """Fill in a form of the page and send it."""
    fields = {name: value for name, value in fields.items() if value is not None}
    return browser.post(path, data={"form_token": form_token(browser, path), **fields})


def secret_of(page):
    return html.unescape(re.search(r'id="secret" readonly value="([^"]+)"', page)[1])


def events(lab, event):
    rows = lab.project.record.page(before=None, only_people=True, with_access=True).rows
    return [row for row in rows if row.event == event]


@pytest.mark.parametrize("path", ["/people", "/pool?pool=ram"])
def test_only_admins_change_who_may_come_in_and_pools(lab, path):
    olga = lab.signed_in("olga")
    fields = {
        "form_token": "0" * 64,
        "act": "create_user",
        "name": "x",
        "pool": "ram",
        "slots": "9",
    }
    assert olga.post(path, data=fields).status_code == 403
    assert lab.client().post(path, data=fields).status_code == 401
    page = olga.get("/people", headers={"accept": "text/html"})
    assert page.status_code == 403
    assert 'href="/people"' not in olga.get("/overview").text
    assert "<form" not in olga.get("/pool?pool=ram").text.partition("<main")[2]


def test_a_form_of_another_page_changes_nothing(lab, root):
    fields = {"act": "create_user", "name": "mallory", "role": "admin"}
    assert root.post("/people", data={**fields, "form_token": "0" * 64}).status_code == 403
    own = form_token(root, "/people")
    foreign = root.post(
        "/people", data={**fields, "form_token": own}, headers={"origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    assert "mallory" not in [one.name for one in lab.project.access.users()]


def test_a_user_is_made_let_in_by_a_link_changed_and_removed(lab, root):
    done = send(root, "/people", act="create_user", name="ada", role="submitter", reason="new here")
    assert done.status_code == 200, done.text
    assert "ada can sign in as submitter; a sign-in link lets them in" in words_of(done.text)
    assert "stoker user create --role submitter --reason &#39;new here&#39; ada" in done.text
    (noted,) = [one for one in events(lab, "create_user") if one.item == "ada"]
    assert (noted.by, noted.reason) == ("root", "new here")
    linked = send(root, "/people?user=ada", act="link_user", name="ada")
    secret = secret_of(linked.text)
    assert secret.startswith("http://127.0.0.1:8420/sign-in?link=")
    assert linked.headers["cache-control"] == "no-store"
    assert "link=" not in root.get("/people").text, "it is shown once"
    browser = lab.client()
    fields = {"form_token": form_token(browser), "link": secret.partition("link=")[2]}
    assert browser.post("/sign-in", data=fields).status_code == 303
    assert browser.get("/overview").status_code == 200
    assert send(root, "/people?user=ada", act="set_user", name="ada", role="viewer").is_success
    assert lab.project.access.user("ada").role == "viewer"
    new = send(root, "/people?user=ada", act="set_user", name="ada", password="a long enough one")
    assert "was signed out everywhere" in words_of(new.text)
    assert "a long enough one" not in new.text
    assert sign_in(lab.client(), "ada", "a long enough one").status_code == 303
    assert send(root, "/people?user=ada", act="remove_user", name="ada").is_success
    assert "ada" not in [one.name for one in lab.project.access.users()]


def test_a_token_is_shown_once_works_and_is_refused_once_it_is_revoked(lab, root):
    made = send(
        root,
        "/people",
        act="create_token",
        name="robot",
        role="viewer",
        expires="30",
        reason="cron",
    )
    secret = secret_of(made.text)
    assert secret.startswith("stk_")
    assert "--expires 30d" in made.text
    assert lab.client(token=secret).get("/api/v1/status").status_code == 200
    page = root.get("/people").text
    assert secret not in page
    assert "stk_" not in page
    assert "robot viewer itself" in words_of(page)
    asked = words_of(root.get(address("people", token="robot")).text)
    assert "Revoke token robot?" in asked
    assert "It was last used" in asked
    assert send(root, "/people?token=robot", act="revoke_token", name="robot").is_success
    assert lab.client(token=secret).get("/api/v1/status").status_code == 401
    assert [one.by for one in events(lab, "revoke_token")] == ["root"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"act": "create_user", "name": "root", "role": "viewer"}, 409, "there is a user"),
        ({"act": "create_user", "name": "x", "role": "king"}, 400, "king is not a role"),
        ({"act": "create_user", "name": "x/y", "role": "viewer"}, 400, "cannot be a name"),
        ({"act": "create_user", "name": "x", "password": "short"}, 400, "a password has"),
        ({"act": "create_user", "name": " "}, 400, "name is missing"),
        ({"act": "set_user", "name": "root", "role": "viewer"}, 403, "last admin"),
        ({"act": "set_user", "name": "olga"}, 400, "nothing is to change"),
        ({"act": "remove_user", "name": "nobody"}, 404, "there is no user"),
        ({"act": "link_user", "name": "nobody"}, 404, "there is no user"),
        ({"act": "revoke_token", "name": "nothing"}, 404, "there is no token"),
        (
            {"act": "create_token", "name": "t", "role": "admin", "user": "olga"},
            400,
            "has the role",
        ),
        ({"act": "create_token", "name": "t", "expires": "-1"}, 400, "is not a time"),
        ({"act": "drop", "name": "root"}, 400, "not something that this page does"),
    ],
)
def test_a_mistake_is_said_on_the_page_and_changes_nothing(lab, root, fields, status, said):
    before = lab.project.access.users(), lab.project.access.tokens()
    answer = send(root, "/people", **fields)
    assert answer.status_code == status, answer.text
    words = words_of(answer.text)
    assert said in words.lower()
    assert "Nothing was done" in words
    assert (lab.project.access.users(), lab.project.access.tokens()) == before


def test_a_pool_is_paused_resumed_and_changed_in_place(lab, root):
    path = "/pool?pool=ram"
    page = words_of(root.get(path).text)
    assert "2 slots" in page
    before = lab.registered
    paused = send(root, path, pool="ram", slots="0", reason="the node is hot")
    assert "The pool has 0 now; it had 2" in words_of(paused.text)
    assert "stoker pool set --reason" in paused.text
    assert lab.project.status().pools["ram"].slots == 0
    assert lab.registered == before + 1, "workers are called"
    (noted,) = events(lab, "set_pool")
    assert (noted.by, noted.reason) == ("root", "the node is hot")
    assert "Paused" in words_of(lab.client().get(path).text)
    assert "paused" in words_of(lab.client().get("/machines").text)
    assert send(root, path, pool="ram", slots="2").is_success
    assert lab.project.status().pools["ram"].slots == 2
    named = send(root, "/pool?pool=gpu", pool="gpu", slots="left middle right")
    assert "The pool has 3 now" in words_of(named.text)
    for slots, status in (("x x", 400), ("99999999999", 400), ("-1", 400), ("", 400)):
        answer = send(root, path, pool="ram", slots=slots)
        assert answer.status_code == status, slots
        assert "Nothing was done" in words_of(answer.text)
    assert send(root, path, pool="nowhere", slots="1").status_code == 404
    assert root.get("/pool?pool=nowhere").status_code == 404


def test_who_is_signed_in_sees_where_and_signs_out_elsewhere(lab):
    lab.user("zoe", "viewer")
    here, there = lab.signed_in("zoe"), lab.signed_in("zoe")
    page = words_of(here.get("/account").text)
    assert "Signed in as zoe" in page
    assert page.count("this one") == 1
    assert page.count("another browser") == 1
    assert "1 other session ended" in words_of(send(here, "/account").text)
    assert "zoe" not in there.get("/overview").text
    assert "another browser" not in here.get("/account").text
    assert lab.client().get("/account").status_code == 404, "a stranger has no session"
    assert lab.signed_in("root").get("/account").status_code == 200, "others' sessions go on"
