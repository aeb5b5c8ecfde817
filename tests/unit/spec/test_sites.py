"""`[sites.NAME]`, and the steps that run at one."""

import pytest

from stoker.errors import SpecError
from stoker.spec.load import load_project

GOOD = """
[project]
name = "lab"
site = "modane"
[pools]
gpu = { slots = ["0"], per = "host" }
fast = { slots = 2, per_minute = 5 }
[secrets]
names = ["TOKEN"]
[sites.lyon]
folder = "/sps/lab/"
ssh = "cca.example.org"
[pipelines.p]
items = "files"
[pipelines.p.steps.a]
run = "echo {item} > {out.x}"
outputs.x = "x/{key}"
[pipelines.p.steps.b]
site = "lyon"
after = ["a"]
run = "echo {in.a.values.n} > {out.x}"
outputs.x = "b/{key}"
"""


def load(tmp_path, text):
    (tmp_path / "stoker.toml").write_text(text)
    return load_project(tmp_path / "stoker.toml")


def test_the_same_path_at_two_sites_is_two_files(tmp_path):
    load(tmp_path, GOOD.replace("b/{key}", "x/{key}"))


def test_an_outpost_and_its_steps(tmp_path):
    found = load(tmp_path, GOOD)
    (lyon,) = found.settings.sites
    assert (lyon.folder, lyon.ssh, lyon.every_s) == ("/sps/lab", "cca.example.org", 60.0)
    assert [step.site for step in found.pipelines["p"].steps] == [None, "lyon"]


def test_a_step_at_this_site_itself_is_like_any_other(tmp_path):
    found = load(tmp_path, GOOD.replace('site = "lyon"', 'site = "modane"'))
    assert [step.site for step in found.pipelines["p"].steps] == [None, None]


WRONG = [
    ('folder = "/sps/lab/"', "", "no `folder`"),
    ('folder = "/sps/lab/"', 'folder = "sps"', "not the absolute path"),
    ('folder = "/sps/lab/"', 'folder = "/"', "not the absolute path"),
    ('folder = "/sps/lab/"', 'folder = "~/x"', "not the absolute path"),
    ('ssh = "cca.example.org"', 'ssh = "-oProxyCommand=touch x"', "not a host"),
    ('ssh = "cca.example.org"', 'ssh = "a b"', "not a host"),
    ('ssh = "cca.example.org"', 'every = "0s"', "every"),
    ('ssh = "cca.example.org"', 'stoker = "-x"', "not a program"),
    ('ssh = "cca.example.org"', 'peer = "x"', "no key `peer`"),
    ('site = "modane"', 'site = "lyon"', "this site is called itself"),
    ('site = "lyon"', 'site = "lyons"', "no site `lyons`"),
    ("{in.a.values.n}", "{in.a.x}", "is here"),
    ("{in.a.values.n}", "{item}", "is here"),
    ('after = ["a"]', 'secrets = ["TOKEN"]', "secrets do not leave"),
    ('after = ["a"]', "pools = { gpu = 1 }", "counts per host"),
    ('after = ["a"]', "pools = { fast = 1 }", "counts per minute"),
    ('after = ["a"]', 'together = "t"', "`together`"),
]


@pytest.mark.parametrize(("old", "new", "words"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_is_said(tmp_path, old, new, words):
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    (problem,) = caught.value.problems
    assert words in str(problem)


GROUPED = """
[pipelines.all]
items = "groups"
[pipelines.all.sources.runs]
pipeline = "p"
[pipelines.all.steps.archive]
site = "lyon"
run = "tar -cf - -T {members.b.x} > {out.tar}; cat {members.a.values}"
outputs.tar = "tar/{key}"
"""


def test_a_list_of_files_is_read_where_they_are(tmp_path):
    load(tmp_path, GOOD + GROUPED)
    for old, new, words in (
        ('site = "lyon"\nrun = "tar', 'run = "tar', "are at `lyon`, and step `archive`"),
        ("{members.b.x}", "{members.a.x}", "are here, and step `archive` does not run there"),
    ):
        with pytest.raises(SpecError) as caught:
            load(tmp_path, GOOD + GROUPED.replace(old, new))
        (problem,) = caught.value.problems
        assert words in str(problem)
