"""Error folders as a person meets them: `run`, `failures`, `status`, `retry`."""

TOML = """
[pipelines.p]
items = "records"
error_folder = { to = "errors/{key}/", from = "*.log" }
[pipelines.p.steps.s]
run = "echo half > part.log; [ -e {dir}/good ] || { echo no license >&2; exit 1; }"
env.HERE = "{key}"
"""


def test_from_failure_to_repair(lab):
    lab.write("stoker.toml", TOML.replace("{dir}", str(lab.folder)))
    lab("run", "p", "a", "b", code=1)
    folder = lab.folder / "errors" / "a"
    assert (folder / "part.log").read_text() == "half\n"
    (row,) = lab("failures", "--json").rows
    assert sorted(row["error_folders"]) == [str(lab.folder / "errors" / k) for k in "ab"]
    shown = lab("failures").out
    assert f"see: {lab.folder}/errors/" in shown
    assert lab("status", "--json").rows[0]["pipelines"]["p"]["error_folders"] == 2
    assert "2 error folders" in lab("status").out
    (lab.folder / "good").touch()
    assert "2 tasks ready again" in lab("retry").out
    lab("run")
    assert not (lab.folder / "errors" / "a").exists()
    assert lab("status", "--json").rows[0]["pipelines"]["p"]["error_folders"] == 0
