"""Where groups and sites have their place on the pages."""

from integration.web.inside import inside
from integration.web.test_panel import address, look, words_of

TOML = """
[project]
name = "lab"
[web]
anonymous = "viewer"
[sites.lyon]
folder = "{folder}"
[pipelines.count]
items = "records"
params.day = {{ type = "string", default = "mon" }}
steps.quant.run = "true"
[pipelines.nights]
items = "groups"
[pipelines.nights.sources.days]
pipeline = "count"
group_by = "{{params.day}}"
count = 3
[pipelines.nights.steps.merge]
run = "true"
"""


def test_a_pipeline_of_groups_shows_what_they_wait_for(tmp_path):
    with inside(tmp_path / "lab", toml=TOML.format(folder=tmp_path / "there")) as lab:
        lab.project.push("count", ["a", "b"])
        lab.project.run()
        seen = words_of(look(lab, address("pipeline", pipeline="nights")))
        assert "Groups that wait for members" in seen
        assert "mon 2 2" in seen
        assert "Groups that wait" not in look(lab, address("pipeline", pipeline="count"))


def test_a_site_stands_among_the_machines(tmp_path):
    with inside(tmp_path / "lab", toml=TOML.format(folder=tmp_path / "there")) as lab:
        lab.project.sites.hold("lyon", reason="a <cable> is cut")
        seen = words_of(look(lab, "/machines"))
        assert "lyon" in seen
        assert "held" in seen.partition("lyon")[2]
        assert "a <cable> is cut" in seen
