"""A group that comes with a history: what is done already is not computed again."""

TOML = """
[pipelines.days]
items = "records"
[pipelines.days.sources.jobs]
table = "jobs.tsv"
[pipelines.days.steps.flag]
run = "date > {out.flags}"
outputs.flags = "flags/{key}.mat"
[pipelines.days.steps.stats]
run = "cat {in.flag.flags}; echo > {out.table}"
outputs.table = "stats/{key}.csv"
"""
TABLE = """file\tstart_time\tend_time\tnode
2004-05-05\t2020-01-01\t2020-01-02\tn7
2004-05-06\t2020-01-01\tNULL\tn8
2004-05-07\tNULL\tNULL\tNULL
2004-05-08\t2020-01-01\t2020-01-02\tn9
"""
DONE = 'meta.end_time != "NULL"'


def test_rows_that_have_an_end_are_done_without_outputs_and_never_run(lab):
    lab.write("stoker.toml", TOML)
    lab.write("jobs.tsv", TABLE)
    lab("up", "--once", "--no-web")
    how = ("--where", DONE, "--without-outputs", "--reason", "done in 2020")
    planned = lab("adopt", "days", *how, "--dry-run")
    assert planned.out.splitlines()[:1] == ["flag: 2 tasks would be adopted"]
    done = lab("adopt", "days", *how, "--json").json
    assert (done["adopted"], done["bare"], done["missing"]) == ({"flag": 2, "stats": 2}, 4, 0)
    lab("run")
    rows = lab("attempts", "--json").rows
    assert {row["item"] for row in rows if row["kind"] == "adopted"} == {"2004-05-05", "2004-05-08"}
    assert {row["item"] for row in rows if row["kind"] == "run"} == {"2004-05-06", "2004-05-07"}
    assert {row["reason"] for row in rows if row["kind"] == "adopted"} == {
        "adopted by " + rows[0]["reason"].split()[2] + " done in 2020"
    }
    assert sorted(path.name for path in (lab.folder / "flags").iterdir()) == [
        "2004-05-06.mat", "2004-05-07.mat",
    ]  # fmt: skip
    assert lab("store", "check", "--journal")


def test_a_list_chooses_and_what_exists_is_recorded(lab):
    lab.write("stoker.toml", TOML)
    lab.write("jobs.tsv", TABLE)
    lab("up", "--once", "--no-web")
    lab("adopt", "days", "--without-outputs", code=2)
    given = b"2004-05-05\nnothing\n2004-05-07\n"
    assert lab("adopt", "days", "--from", "-", "--json", given=given).json["missing"] == 4
    done = lab(
        "adopt", "days", "--from", "-", "--step", "flag", "--without-outputs", "--json", given=given
    )
    assert (done.json["adopted"], done.json["bare"], done.json["unknown"]) == ({"flag": 2}, 2, 1)
    assert "`-`, line 2: there is no item `nothing`" in done.err
    lab("run", code=1)
    causes = lab("failures").out
    assert "step `flag` left no output `flags` for this item" in causes
    lab("rerun", "2004-05-05", "2004-05-07", "--step", "flag")
    lab("run")
    assert lab("status", "--json").json["pipelines"]["days"]["items"]["done"] == 4
