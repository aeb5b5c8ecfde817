"""What cannot be taken is on record, says why, and is taken once it has been put right."""

import json
import sys
import textwrap
from types import SimpleNamespace

import pytest

from stoker.project import sources
from stoker.store import journal_fold

QUICK = 'settle = "0s"'


def reasons(yard):
    return {key: row.reason for key, row in yard.rows().items()}


@pytest.mark.parametrize(
    ("rule", "bad", "good", "said"),
    [
        ("min_size = 1", b"", b"x", "it is empty"),
        ("min_size = 3", b"ab", b"abc", "it has 2 bytes"),
        ("max_size = 3", b"abcd", b"abc", "`max_size` is 3"),
        (r"magic = '\x89HDF'", b"HDF", b"\x89HDF\r", "it begins with"),
        ('checksum = "{item}.sha256"', b"abcd", b"abc", "its checksum is"),
        ('command = ["grep", "-q", "b", "{item}"]', b"xyz", b"abc", "exit code 1"),
        ('command = ["nosuchprogram"]', b"xyz", None, "cannot be started"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_rule_keeps_a_file_out_until_it_is_put_right(yard, rule, bad, good, said):
    yard.declare(QUICK, f"validate.{rule}")
    sum_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    if "sha256" in rule:
        (yard.incoming / "a.dat.sha256").write_text(f"{sum_of_abc}  a.dat\n")
    file = yard.incoming / "a.dat"
    file.write_bytes(bad)
    yard.take_until(lambda: "a.dat" in yard.rows())
    assert said in reasons(yard)["a.dat"]
    (failure,) = [row for row in yard.project.failures() if row.examples == ("a.dat",)]
    assert failure.step is None
    assert said in failure.cause
    assert yard.project.status().pipelines["p"].items["quarantined"]
    assert yard.project.tasks("a.dat") == []
    if good is None:
        return
    file.write_bytes(good)
    yard.take_until(lambda: reasons(yard)["a.dat"] is None)
    counts = yard.project.status().pipelines["p"]
    assert (counts.items["quarantined"], counts.tasks["ready"]) == (0, 1)


def test_retry_takes_what_passes_now_and_says_what_does_not(yard):
    yard.declare(QUICK, 'validate.command = ["test", "-e", "allowed"]')
    for name in ("a.dat", "b.dat"):
        (yard.incoming / name).write_text(name)
    yard.take_until(lambda: len(yard.keys()) == 2)
    assert yard.project.retry().left == {"quarantined": 2}
    (yard.folder / "allowed").touch()
    assert yard.project.retry("a.dat", dry_run=True).changed == {"admit": 1}
    assert yard.project.retry("a.dat").changed == {"admit": 1}
    assert yard.project.retry(state="quarantined").changed == {"admit": 1}
    assert {row.state for row in yard.project.tasks()} == {"ready"}
    assert yard.take().registered == 0, "what was taken by a retry is known to its source"


def test_a_command_reads_the_header_into_typed_metadata(yard):
    code = (
        "import json,sys; print(json.dumps({'size': len(open(sys.argv[1]).read()), 'kind': None}))"
    )
    words = json.dumps([sys.executable, "-c", code, "{item}"])
    yard.declare(QUICK, f"extract = {words}")
    (yard.incoming / "a.dat").write_text("abc")
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    assert json.loads(yard.rows()["a.dat"].meta) == {"size": 3}
    assert [row.item for row in yard.project.items(where="meta.size > 2")] == ["a.dat"]
    assert yard.project.items(where="meta.size > 3") == []


def test_a_function_reads_headers_in_one_process_and_a_bad_one_is_quarantined(yard):
    (yard.folder / "headers.py").write_text(
        textwrap.dedent("""
            import os

            def read(path):
                print("said to nobody")
                text = open(path).read()
                if text == "die":
                    os._exit(3)
                return {"number": int(text), "pid": os.getpid()}
        """)
    )
    yard.declare(QUICK, 'extract = "headers:read"')
    for name, text in (("a", "1"), ("b", "2"), ("c", "x"), ("d", "die"), ("e", "5")):
        (yard.incoming / name).write_text(text)
    yard.take_until(lambda: len(yard.keys()) == 5)
    rows = yard.rows()
    assert "ValueError" in rows["c"].reason
    assert "its process ended" in rows["d"].reason
    metas = [json.loads(rows[key].meta) for key in "abe"]
    assert [meta["number"] for meta in metas] == [1, 2, 5]
    assert len({meta["pid"] for meta in metas}) <= 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "printed no JSON"),
        ("[1]", "not an object"),
        ('{"RunType": 1}', "lower-case"),
        ("[" * 50_000, "printed no JSON"),
    ],
)
def test_metadata_that_makes_no_sense_is_told(yard, text, said):
    yard.declare(QUICK, f"extract = {json.dumps(['printf', '%s', text])}")
    (yard.incoming / "a").touch()
    yard.take_until(lambda: yard.keys() == ["a"])
    assert said in reasons(yard)["a"]


def test_the_journal_alone_knows_of_quarantine(yard):
    from stoker.store.database import rebuild

    yard.declare(QUICK, "validate.min_size = 2")
    (yard.incoming / "a").write_text("1")
    (yard.incoming / "b").write_text("1")
    yard.take_until(lambda: len(yard.keys()) == 2)
    (yard.incoming / "a").write_text("22")
    yard.take_until(lambda: reasons(yard)["a"] is None)
    journal_fold.fold(yard.project.store)
    with yard.project.store.reading() as unit:
        assert list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit))) == []


def test_a_new_step_gets_no_task_for_what_is_in_quarantine(yard):
    yard.declare(QUICK, "validate.min_size = 2")
    (yard.incoming / "a").write_text("1")
    yard.take_until(lambda: yard.keys() == ["a"])
    two = "[pipelines.p.steps.s]\nrun = 'true'\n[pipelines.p.steps.t]\nrun = 'true'"
    yard.declare(QUICK, "validate.min_size = 2", steps=two)
    assert yard.project.tasks() == []
    (yard.incoming / "a").write_text("22")
    yard.take_until(lambda: reasons(yard)["a"] is None)
    assert len(yard.project.tasks()) == 2


def test_a_run_does_not_wait_for_what_lacks_a_part_and_says_all_at_its_end(yard):
    names = 'fields = "{run}_{part}"\nparts = ["a", "b"]'
    for name in ("x_a", "x_b", "y_a", "z_a", "z_b"):
        (yard.incoming / name).write_text("" if name.startswith("z") else name)
    yard.declare(f'settle = "0s"\n{names}', "validate.min_size = 1")
    (done,) = yard.project.take_sources(on_wait=lambda *_: pytest.fail("it waits"))
    assert (done.registered, done.quarantined) == (1, 1)
    said = "\n".join(done.messages)
    assert "its part `b` is not there" in said
    assert "`z` is quarantined: it is empty" in said


def test_a_run_leaves_what_goes_on_growing_and_says_so(yard, monkeypatch):
    yard.declare('settle = "1h"')
    file = yard.incoming / "a.dat"
    file.write_text("a")
    hours = iter([0.0, 3600.0, 1e6])
    clock = SimpleNamespace(
        monotonic=lambda: next(hours), sleep=lambda _seconds: file.write_text("more and more")
    )
    monkeypatch.setattr(sources, "time", clock)
    (done,) = yard.project.take_sources()
    assert (done.registered, done.refused) == (0, 1)
    assert "still being written" in done.messages[0]
