"""Files that a person puts right before `stoker retry`, and outputs that somebody deleted."""


def test_a_repaired_file_is_in_the_record_and_is_not_redone(pushed):
    pushed("run", code=1)
    pushed.write("data/c.txt", "one\ntwo\nthree\n")
    pushed("retry")
    pushed("run")
    done = len(pushed("attempts", "--json").rows)
    assert "new content" not in pushed("run").err
    assert len(pushed("attempts", "--json").rows) == done
    row = next(row for row in pushed("items", "--json").rows if row["item"] == "c.txt")
    assert row["size_bytes"] == 14
    pushed("store", "check")


def test_what_was_done_with_the_old_content_is_redone(lab):
    lab.write("stoker.toml", """
[pipelines.p.sources.s]
folder = "data"
settle = "0s"
[pipelines.p.steps.first]
run = "wc -l < {item} > {out.n}"
outputs.n = "results/{key}.n"
[pipelines.p.steps.second]
run = "cat {in.first.n}; grep -q good {item}"
""")  # fmt: skip
    lab.write("data/x", "bad\n")
    lab("run", code=1)
    lab.write("data/x", "good\nand longer\n")
    lab("retry")
    assert "1 with new content" in lab("run").err
    assert (lab.folder / "results/x.n").read_text() == "2\n"


def test_a_deleted_output_names_the_step_that_makes_it_again(run):
    (run.folder / "results/a.txt.lines").unlink()
    run("rerun", "a.txt", "--step", "text")
    run("run", code=1)
    failed = run("tasks", "a.txt", "--state", "failed", "--json").rows
    reason = run("attempts", "a.txt", "--step", "text", "--json").rows[-1]["reason"]
    assert len(failed) == 1
    assert "the output `lines` of step `lines` is gone" in reason
    assert "`stoker rerun a.txt --step lines` makes it again" in reason
    run("rerun", "a.txt", "--step", "lines")
    run("run", code=1)
    assert not run("tasks", "a.txt", "--state", "failed", "--json").rows
