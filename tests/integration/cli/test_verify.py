"""`stoker verify` and `rerun --missing`: results that somebody deleted, changed or moved."""

import os
import shutil

TOML = """
[pipelines.p]
items = "records"
[pipelines.p.steps.a]
run = "echo {key} > {out.file}; mkdir {out.tree}; echo 1234 > {out.tree}/x; echo t > {out.passing}"
outputs.file = "out/{key}.txt"
outputs.tree = "out/{key}.d/"
outputs.passing = { to = "out/{key}.tmp", temp = true }
[pipelines.p.steps.b]
run = "cat {in.a.file} {in.a.passing} > {out.copy}"
outputs.copy = "out/{key}.copy"
"""


def problems(lab, *options, code=1):
    rows = lab("verify", *options, "--json", code=code).rows
    return {(row["item"], row["name"]): row["problem"] for row in rows}


def missing(lab):
    return lab("status", "--json").json["pipelines"]["p"]["missing"]


def test_what_is_missing_is_listed_counted_and_made_again(lab):
    lab.write("stoker.toml", TOML)
    for key in ("k1", "k2", "k3", "-f"):
        lab("push", "p", "--", key)
    lab("run")
    out = lab.folder / "out"
    assert "12 outputs, all as recorded" in lab("verify").err
    assert problems(lab, "--checksum", code=0) == {}
    (out / "k1.txt").unlink()
    shutil.rmtree(out / "k2.d")
    (out / "k3.copy").rename(out / "moved")
    (out / "k3.copy").symlink_to("moved")  # a link to the file is as good as the file
    found = {("k1", "file"): "missing", ("k2", "tree"): "missing"}
    assert problems(lab, "--dry-run") == found
    assert missing(lab) == 0
    shown = lab("verify", code=1)
    assert f"`{out}/k1.txt` does not exist" in shown.out
    assert "12 outputs: 2 missing" in shown.err
    assert missing(lab) == 2
    assert "2 outputs are missing (`stoker rerun --missing`" in lab("status").out
    assert "1 task" in lab("rerun", "--missing", "k1", "--dry-run").out
    done = lab("rerun", "--missing", "--json").json
    assert done["changed"] == {"rerun": 2, "block": 2}
    assert missing(lab) == 0, "a rerun clears what was found"
    lab("run")
    assert problems(lab, code=0) == {}
    lab("rerun", "--missing")
    assert lab("status", "--json").json["pipelines"]["p"]["items"]["done"] == 4
    assert lab("store", "check", "--journal")


def test_what_differs_is_reported_and_never_replaced(lab):
    lab.write("stoker.toml", TOML)
    for key in ("k1", "k2", "k3"):
        lab("push", "p", key)
    lab("run")
    out = lab.folder / "out"
    (out / "k1.txt").write_text("longer than it was")
    (out / "k2.txt").write_text("xx\n")
    (out / "k2.copy").unlink()
    os.mkfifo(out / "k2.copy")
    (out / "k3.d/more").write_text("")
    (out / "k3.copy").unlink()
    (out / "k3.copy").symlink_to("k3.copy")
    expected = {
        ("k1", "file"): "size", ("k2", "copy"): "kind", ("k3", "copy"): "unreadable",
    }  # fmt: skip
    assert problems(lab) == expected
    assert problems(lab, "--checksum") == expected | {
        ("k2", "file"): "checksum", ("k3", "tree"): "checksum",
    }  # fmt: skip
    assert missing(lab) == 0
    assert "nothing to change" in lab("rerun", "--missing").err
    assert lab("verify", "--from", "-", given=b"k1\n", code=1).err.startswith("3 outputs: 1 not as")
    assert problems(lab, "k1", "--step", "b", code=0) == {}
    assert "nothing to compare" in lab("verify", "--state", "failed").err
