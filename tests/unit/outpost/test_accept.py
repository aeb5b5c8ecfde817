"""What an outpost says of an end is taken only as far as it can be true."""

import json

import pytest

from stoker.model.id_types import AttemptId, ItemId, TaskId, VersionId
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Claimed, Produced, Result, Stream
from stoker.outpost.accept import BadResult, accept
from stoker.outpost.bundle import Bundle, Delivered, Staged
from stoker.outpost.plain import from_plain, to_plain
from stoker.store.reports.carried import Carried

ATTEMPT = AttemptId(bytes(range(16)))
CARRIED = Carried(ATTEMPT, TaskId(7), "id", "p", "k", "s", is_unwanted=False)
RESULT = Result(
    attempt=ATTEMPT, task_id=TaskId(7), state=AttemptState.SUCCEEDED, verdict=Verdict.DONE,
    exit_code=0, started_us=1, ended_us=2, values={"n": [1, {"x": None}]},
    stdout=Stream(size_bytes=3, text=b"\xff\x00a"), reason="b\udcff\x1b[31m",
)  # fmt: skip
STAGED = Staged(name="root", position=0, basename="a.root", size_bytes=1, checksum="xxh3:00")
DELIVERED = Delivered(result=RESULT, start="0" * 12, node="n17", staged=(STAGED,))


def plain(**more):
    """What is delivered, as JSON, with these keys of the result or `staged` changed."""
    found = json.loads(json.dumps(to_plain(DELIVERED)))
    for name, value in more.items():
        where = found if name in found or name == "start" else found["result"]
        where[name] = value
    return found


def test_a_sound_result_is_taken_as_it_was():
    found = accept(plain(), CARRIED)
    assert found.result.values == RESULT.values
    assert found.result.stdout.text == RESULT.stdout.text
    assert found.staged == (STAGED,)
    assert "\udcff" not in found.result.reason


def test_the_node_is_as_it_can_be_kept_and_shown():
    """The one beside the result counts, which its start has written."""
    assert accept(plain(), CARRIED).result.node == "n17"
    odd = plain(node="\x1b[31m\0\udcff\n" + "n" * 500)
    odd["result"]["node"] = "another"
    found = accept(odd | {"batch_id": "\x1b[31m"}, CARRIED)
    assert found.result.node.startswith(r"\x1b[31m\x00\xff\nnn")
    assert len(found.result.node) == 200
    assert found.batch_id == r"\x1b[31m"
    assert accept(plain(node=""), CARRIED).result.node is None


def test_what_a_later_release_adds_is_left_out():
    found = plain(later=1)
    found["more"] = {"x": 1}
    assert accept(found, CARRIED).start == "0" * 12


DEEP: object = []
for _ in range(200):
    DEEP = [DEEP]

LIES = [
    {"attempt": "00" * 16}, {"attempt": "zz"}, {"attempt": 5}, {"task_id": 8}, {"task_id": "7"},
    {"task_id": True}, {"task_id": 1 << 70}, {"state": 0}, {"state": 99}, {"state": "done"},
    {"verdict": "perhaps"}, {"state": int(AttemptState.LOST)}, {"state": int(AttemptState.FAILED)},
    {"exit_code": -1}, {"exit_code": 1 << 40}, {"signal": 999}, {"pid": -5}, {"ended_us": -1},
    {"started_us": 1 << 62}, {"max_rss_bytes": -1}, {"user_us": 1 << 63}, {"values": []},
    {"values": {"x": DEEP}}, {"values": {"x": "y" * 300_000}}, {"stdout": 5},
    {"stdout": {"text": "nohex"}}, {"outputs": [{"name": "x", "path": "/", "size_bytes": 1,
    "checksum": ""}]}, {"error_folder": "/etc"}, {"reason": 5}, {"staged": {}},
    *({"staged": [to_plain(STAGED) | one]} for one in (
        {"basename": "../../etc/passwd"}, {"basename": ".."}, {"basename": ""},
        {"basename": "a\0b"}, {"basename": "x" * 256}, {"size_bytes": -1}, {"position": -1},
        {"checksum": "x" * 100}, {"name": 5},
    )),
    {"start": "../.."}, {"start": "x" * 50}, {"staged": [to_plain(STAGED)] * 10_001},
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_a_lie_is_refused(lie):
    with pytest.raises(BadResult):
        accept(plain(**lie), CARRIED)


def test_what_is_no_result_is_refused():
    for raw in (None, 5, "x", [], {}, {"result": {}}, {"result": None}):
        with pytest.raises(BadResult):
            accept(raw, CARRIED)


def test_a_stream_is_bounded_and_names_no_file_of_ours():
    big = {"size_bytes": 1 << 30, "text": (b"x" * 70_000).hex(), "path": "/etc/passwd"}
    found = accept(plain(stdout=big), CARRIED).result.stdout
    assert (found.path, len(found.text), found.truncated) == (None, 64 * 1024, True)


def test_a_bundle_comes_back_as_it_went():
    claimed = Claimed(
        attempt=ATTEMPT, task_id=TaskId(1), item_id=ItemId(2), version_id=VersionId(3),
        pipeline="p", key="b\udcff", step="s", number=1, generation=1, tries=0,
        path="/raw/b\udcff", params={"x": [1.5, None, True]}, meta={}, cpus=2, memory_bytes=None,
        slots={"gpu": ("0", "1")},
        produced={"a": Produced(attempt=None, outputs={"o": ("/x",)}, left_nothing=True)},
    )  # fmt: skip
    bundle = Bundle(claimed=claimed, version="v")
    assert from_plain(Bundle, json.loads(json.dumps(to_plain(bundle)))) == bundle
