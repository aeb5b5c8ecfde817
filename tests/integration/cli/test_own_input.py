"""A step that writes to its own input: it runs once, and that is reported once."""

FILE = """
[pipelines.p.sources.s]
folder = "data"
settle = "0s"
[pipelines.p.steps.edit]
run = "echo more >> {item}"
[pipelines.p.steps.after]
run = "cat {item} >> {item}.copy; mv {item}.copy {scratch}"
after = ["edit"]
"""


def test_a_step_that_changes_its_own_input_runs_once(lab):
    lab.write("stoker.toml", FILE)
    lab.write("data/x", "one\n")
    lab("run")
    assert "was changed while its step `edit` ran" in lab("run").err
    assert "was changed" not in lab("run").err
    assert len(lab("attempts", "--json").rows) == 2
    (lab.folder / "data/x").write_text("new\n")
    assert "1 with new content" in lab("run").err
    assert len(lab("attempts", "--json").rows) == 4
