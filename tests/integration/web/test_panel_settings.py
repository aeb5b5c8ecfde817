"""The settings: what the file says and the store has, without secrets, and how they differ."""

import re

import pytest

from integration.web.inside import inside
from integration.web.test_panel import address, words_of

TOML = """
[project]
name = "lab"
[web]
anonymous = "viewer"
[pools]
ram = 2
night = { slots = 1, between = "20:00-08:00" }
[secrets]
names = ["LIMS_KEY"]
[notify.chat]
to = "slack://TOKENA/TOKENB/TOKENC"
[pipelines.p]
items = "records"
steps.first = { run = "true" }
"""


@pytest.fixture
def lab(tmp_path):
    with inside(tmp_path, toml=TOML) as found:
        found.user("olga", "operator")
        found.project.push("p", ["one"])
        yield found


def look(lab, path, browser=None):
    answer = (browser or lab.client()).get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_settings_say_what_holds_and_no_secret(lab):
    seen = words_of(look(lab, "/settings"))
    assert "The store has taken over all that the file says" in seen
    assert "p 1 " in seen
    assert "20:00-08:00" in seen
    assert "LIMS_KEY" in seen
    assert "slack://…" in seen
    assert "TOKENA" not in seen
    lab.project.set_pool("ram", 5)
    assert "now 5, set by hand" in words_of(look(lab, "/settings"))


def test_what_differs_from_what_was_taken_over_is_listed(lab):
    text = TOML.replace("ram = 2", "ram = 3").replace('"true" }', '"false" }')
    lab.file.write_text(text + 'steps.second = { run = "true" }\n')
    seen = words_of(look(lab, "/settings"))
    assert "pipeline p would get version 2: step second is new, step first changed" in seen
    assert "pool ram would have 3 slots, not 2" in seen
    assert lab.project.sharing().declared["ram"].slots == ("0", "1"), "looking changes nothing"
    olga = lab.signed_in("olga")
    assert re.search(r'class="added">\+[^<]*false', look(lab, "/settings", olga))
    assert 'class="added"' not in look(lab, "/settings"), "a definition is for operators"
    lab.file.write_text("[pipelines.p]\nodd = 1\n")
    stranger = words_of(look(lab, "/settings"))
    assert "the file has mistakes; stoker check names them" in stranger
    assert "odd" not in stranger
    assert "odd" in words_of(look(lab, "/settings", olga))


def test_operators_see_what_each_version_changed(lab):
    lab.file.write_text(TOML.replace('run = "true"', "run = \"echo '<b>new</b>'\""))
    type(lab.project)(lab.file).apply(reason="try it")
    olga = lab.signed_in("olga")
    page = look(lab, "/versions?pipeline=p", olga)
    assert "What version 2 changed" in words_of(page)
    assert re.search(r'class="removed">-[^<]*true', page)
    assert re.search(r'class="added">\+[^<]*&lt;b&gt;new', page)
    assert "Version 1" in words_of(look(lab, "/versions?pipeline=p&number=1", olga))
    stranger = look(lab, "/versions?pipeline=p")
    assert "new" not in words_of(stranger).partition("Operators also see")[0].partition("From")[2]
    assert "echo" not in stranger


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (address("versions", pipeline="nowhere"), 404),
        ("/versions", 404),
        ("/versions?pipeline=p&number=9", 404),
        ("/versions?pipeline=p&number=-1", 400),
        ("/versions?pipeline=p&number=99999999999", 400),
    ],
)
def test_a_version_that_does_not_exist_is_said(lab, path, status):
    olga = lab.signed_in("olga")
    assert olga.get(path, headers={"accept": "text/html"}).status_code == status
