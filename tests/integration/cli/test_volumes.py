"""`stoker volume`: what is packed is there, byte for byte, or the command says what is not."""

import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile

import pytest

from integration.cli.conftest import STOKER
from stoker import failpoints
from stoker.errors import Conflict, NotFound, UserError
from stoker.volumes.catalogue import read_index, read_sums
from stoker.volumes.locate import locate
from stoker.volumes.pack import pack
from stoker.volumes.verify import verify
from stoker.work.measure import measure

FILE = """
[pipelines.runs]
items = "records"
[pipelines.runs.steps.convert]
run = "{ echo {key}; seq 75000; } > {out.fq}"
outputs.fq = { to = "local/{key}.fq", temp = true }

[pipelines.tape]
items = "groups"
key = "A{number}"
[pipelines.tape.sources.files]
pipeline = "runs"
volume = "1M"
pack = ["outputs.convert.fq"]
[pipelines.tape.steps.pack]
argv = ["STOKER", "volume", "pack", "{members}", "{out.blocks}", "--index", "{out.index}", "--block-size", "400K"]
outputs.blocks = { to = "volumes/{key}/", temp = true }
outputs.index = "catalogue/{key}.csv"
[pipelines.tape.steps.write]
run = '''
test -d {project}/tapes || exit 75
cat {in.pack.blocks}/*.tar > {project}/tapes/{key}
if [ -e {project}/short ]; then
    truncate -s 300000 {project}/tapes/{key}
    echo "dd: error writing: No space left on device" >&2
    exit 1
fi
if [ -e {project}/worn ]; then printf x | dd of={project}/tapes/{key} bs=1 seek=5000 conv=notrunc; fi
STOKER volume verify {in.pack.blocks} < {project}/tapes/{key}
'''
exits = { 75 = "fail", 1 = "fail" }
"""


def test_members_go_to_tape_are_found_there_and_come_back(lab):
    (lab.folder / "stoker.toml").write_text(FILE.replace("STOKER", STOKER))
    lab("push", "runs", "a", "b/c", "d")
    lab("run", code=1)
    local = lab.folder / "local"
    assert (local / "a.fq").exists(), "it is on no tape yet"
    before = hashlib.sha256((local / "b" / "c.fq").read_bytes()).hexdigest()
    (lab.folder / "tapes").mkdir()
    (lab.folder / "short").touch()
    lab("retry")
    assert "of write: disk full" in lab("run", code=1).err
    assert (local / "a.fq").exists(), "the tape was full early"
    assert list((lab.folder / "volumes" / "A0001").glob("*.tar")), "the next gets the same blocks"
    (lab.folder / "short").unlink()
    (lab.folder / "worn").touch()
    lab("retry")
    assert "SHA-256" in lab("run", code=1).err
    assert (local / "a.fq").exists(), "what was read back is not what was written"
    (lab.folder / "worn").unlink()
    lab("retry")
    lab("run")
    assert sorted(path.name for path in local.rglob("*.fq")) == ["d.fq"], (
        "the rest is on tape alone"
    )

    maker = lab("which", "local/a.fq", "--json").rows[0]
    assert maker["volumes"] == [{"pipeline": "tape", "volume": "A0001", "superseded": False}]
    assert "volume   A0001 of tape" in lab("which", "local/a.fq").out
    (found,) = lab("volume", "locate", "local/b/c.fq", "--json").rows
    assert (found["volume"], found["block"], found["key"]) == ("A0001", "A0001.0002.tar", "b/c")
    assert found["position"] > found["offset"] > 0
    tape = (lab.folder / "tapes" / "A0001").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(tape[found["position"] :])) as tar:
        restored = tar.extractfile(tar.next()).read()
    assert hashlib.sha256(restored).hexdigest() == before == found["sha256"]
    assert lab("volume", "locate", "d", code=3).err == "stoker: `d` is in no volume\n"

    lab("rerun", "a", "--pipeline", "runs")
    lab("run")
    assert [one["volume"] for one in lab("which", "local/a.fq", "--json").rows[0]["volumes"]] == [
        "A0002"
    ]
    assert "A0001, old" in lab("volume", "locate", "a").out
    assert lab("status", "--json").rows[0]["pipelines"]["tape"]["groups"]["complete"] == 1
    lab("store", "check")


class Members:
    """Files, and the list of them that a volume would have."""

    def __init__(self, folder):
        self.folder = folder
        self.list = folder / "members.jsonl"
        self.entries = []

    def add(self, key, content, *, superseded=False, name=None):
        path = self.folder / "out" / (name or f"{key}.fq")
        path.parent.mkdir(exist_ok=True, parents=True)
        if isinstance(content, dict):
            for inner, data in content.items():
                (path / inner).parent.mkdir(exist_ok=True, parents=True)
                (path / inner).write_bytes(data)
        else:
            path.write_bytes(content)
        found = measure(str(path))
        one = {
            "output": "quant.fq", "path": str(path), "size_bytes": found.size_bytes,
            "checksum": found.checksum, "removed": False,
        }  # fmt: skip
        self.entries.append({"key": key, "pack": [one], "superseded": superseded})
        return path

    def pack(self, **more):
        self.list.write_text("".join(json.dumps(one) + "\n" for one in self.entries))
        return pack(str(self.list), str(self.folder / "A0001"), **more)


@pytest.fixture
def members(tmp_path):
    return Members(tmp_path)


def test_a_block_is_a_tar_of_whole_members_in_the_form_of_a_bag(members, tmp_path):
    members.add("a", b"x" * 3000)
    members.add("b/c", {"one": b"1", "deep/two": b"22", "odd\nname": b"3"}, name="folder")
    done = members.pack(block_bytes=4000, index=str(tmp_path / "A0001.csv"))
    assert (done.members, done.files, done.blocks, done.size_bytes) == (2, 4, 2, 3004)
    folder = tmp_path / "A0001"
    assert sorted(os.listdir(folder)) == [
        "A0001.0001.tar", "A0001.0002.tar", "A0001.csv", "A0001.sha256",
    ]  # fmt: skip
    assert (folder / "A0001.csv").read_bytes() == (tmp_path / "A0001.csv").read_bytes()
    subprocess.run(["sha256sum", "--quiet", "-c", "A0001.sha256"], cwd=folder, check=True)
    with tarfile.open(folder / "A0001.0002.tar") as tar:
        tar.extractall(tmp_path / "back", filter="data")
    bag = tmp_path / "back" / "A0001.0002"
    assert (bag / "data/b/c/quant.fq/folder/deep/two").read_bytes() == b"22"
    assert (bag / "bagit.txt").read_text().startswith("BagIt-Version: 1.0\n")
    lines = (bag / "manifest-sha256.txt").read_text().splitlines()
    assert len(lines) == 3
    assert any(line.endswith("  data/b/c/quant.fq/folder/odd%0Aname") for line in lines)
    for entry in read_index(str(folder / "A0001.csv")):
        block = (folder / entry.block).read_bytes()[entry.offset :]
        with tarfile.open(fileobj=io.BytesIO(block)) as tar:
            content = tar.extractfile(tar.next()).read()
        assert hashlib.sha256(content).hexdigest() == entry.sha256
    path = str(tmp_path / "out" / "folder" / "deep" / "two")
    (found,) = locate([(str(folder / "A0001.csv"), ())], {path})
    assert found.name == "data/b/c/quant.fq/folder/deep/two"


@pytest.mark.parametrize("point", ["volume.block", "volume.packed", "volume.indexed"])
def test_a_volume_is_whole_or_not_there(members, tmp_path, point):
    members.add("a", b"a" * 9000)
    members.add("b", b"b" * 9000)
    index = str(tmp_path / "index")
    child = os.fork()
    if child == 0:
        try:
            failpoints._armed, failpoints._hits = failpoints.parse(f"{point}=kill"), {}
            members.pack(block_bytes=9000, index=index)
        finally:
            os._exit(3)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (tmp_path / "A0001").exists()
    assert members.pack(block_bytes=9000, index=index).blocks == 2
    assert (tmp_path / "A0001" / "A0001.csv").read_bytes() == (tmp_path / "index").read_bytes()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    with pytest.raises(Conflict, match=r"index` is there already"):
        pack(str(members.list), str(tmp_path / "A0002"), index=index)


def test_an_index_does_not_stay_without_its_volume(members, tmp_path, monkeypatch):
    members.add("a", b"a" * 9000)
    index = tmp_path / "index"
    monkeypatch.setattr(failpoints, "_armed", failpoints.parse("volume.indexed=raise"))
    monkeypatch.setattr(failpoints, "_hits", {})
    with pytest.raises(UserError, match="cannot be read or written"):
        members.pack(index=str(index))
    assert not index.exists()
    index.write_text("a person's own")
    with pytest.raises(Conflict):
        members.pack(index=str(index))
    assert index.read_text() == "a person's own"


def test_a_rehearsal_reads_and_compares_everything_and_writes_nothing(members, tmp_path):
    for key in "abcd":
        members.add(key, key.encode() * 3_000)
    members.add("e", {"x": b"1", "in/y": b"2" * 700})
    gone = members.add("f", b"old", superseded=True)
    gone.unlink()
    more = {"block_bytes": 8 * 1024, "index": str(tmp_path / "index.csv")}
    before = sorted(tmp_path.rglob("*"))
    wanted = members.pack(dry_run=True, **more)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, members.list])
    assert (wanted.members, wanted.left_out, wanted.files) == (5, 1, 6)
    assert wanted.blocks > 1
    assert members.pack(**more) == wanted
    with pytest.raises(Conflict, match="not an empty folder"):
        members.pack(dry_run=True)
    (tmp_path / "out" / "b.fq").write_bytes(b"otherwise")
    members.folder = tmp_path / "second"
    members.folder.mkdir()
    with pytest.raises(Conflict, match="is not as it was published"):
        members.pack(dry_run=True)
    assert list(members.folder.iterdir()) == []


def test_what_is_not_as_recorded_is_not_packed(members, tmp_path):
    members.add("a", b"a" * 3000)
    old = members.add("b", b"b" * 3000, superseded=True)
    members.add("c", b"c" * 3000)
    old.write_bytes(b"new")
    done = members.pack()
    assert (done.members, done.left_out, done.files) == (2, 1, 2)
    found = [entry.key for entry in read_index(str(tmp_path / "A0001" / "A0001.csv"))]
    assert found == ["a", "c"]
    assert not verify(str(tmp_path / "A0001")).problems
    os.rename(tmp_path / "A0001", tmp_path / "first")
    members.entries[1]["superseded"] = False
    with pytest.raises(Conflict, match=r"`b`, is not as it was published.*rerun b --step quant"):
        members.pack()
    old.unlink()
    with pytest.raises(NotFound, match=r"the output `quant.fq` of `b`, is not there"):
        members.pack()
    assert not (tmp_path / "A0001").exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def as_a_tar(folder):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, arcname="A0001")
    return out.getvalue()


def one_after_another(folder):
    names = [name for name in read_sums(str(folder))[1] if name.endswith(".tar")]
    return b"".join((folder / name).read_bytes() for name in names)


@pytest.mark.parametrize("made", [as_a_tar, one_after_another])
def test_what_comes_back_from_a_tape_is_compared_to_the_last_byte(members, tmp_path, made):
    members.add("a", bytes(range(256)) * 30)
    members.add("b", bytes(range(256)) * 30)
    members.pack(block_bytes=8000)
    folder = tmp_path / "A0001"
    good = made(folder)
    assert not verify(str(folder), io.BytesIO(good + bytes(10240))).problems
    at = good.index(bytes(range(256))) + 300
    flipped = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
    assert "SHA-256" in verify(str(folder), io.BytesIO(flipped)).problems[0].problem
    assert verify(str(folder), io.BytesIO(good[: len(good) // 2])).problems
    assert verify(str(folder), io.BytesIO(b"")).problems[0].problem.startswith("it is empty")
    assert verify(str(folder), io.BytesIO(b"no tape" * 100)).problems


def test_a_damaged_folder_is_noticed(members, tmp_path):
    members.add("a", b"a" * 3000)
    members.pack()
    block = tmp_path / "A0001" / "A0001.0001.tar"
    data = bytearray(block.read_bytes())
    data[1600] ^= 1
    block.write_bytes(data)
    assert [one.name for one in verify(str(tmp_path / "A0001")).problems] == [block.name]
    block.unlink()
    assert verify(str(tmp_path / "A0001")).problems[0].problem == "it is missing"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"key": "a"}', "no `pack`"),
        ('{"key": "../a", "pack": []}', r"`\.\./a` is no key"),
        ("[" * 100_000, "line 1 is not a member"),
        ('{"key": "a", "pack": [{"output": "x"}]}', "no `path`"),
        ('{"key": "a", "pack": [7]}', "is no object"),
        (
            '{"key": "a", "pack": [{"output": "../x", "path": "/p", "size_bytes": 1, "checksum": ""}]}',
            "no output",
        ),
        ("", "names nothing to be packed"),
    ],
)
def test_a_list_that_is_none_is_refused_with_its_line(tmp_path, line, said):
    (tmp_path / "list").write_text(line)
    with pytest.raises(UserError, match=said):
        pack(str(tmp_path / "list"), str(tmp_path / "A"))
    assert os.listdir(tmp_path) == ["list"]


def test_nothing_is_replaced(members, tmp_path):
    members.add("a", b"a")
    (tmp_path / "A0001").mkdir()
    (tmp_path / "A0001" / "mine").touch()
    with pytest.raises(Conflict, match="it stays"):
        members.pack()
    (tmp_path / "A0001" / "mine").unlink()
    (tmp_path / "index").touch()
    with pytest.raises(Conflict, match="index` is there already"):
        members.pack(index=str(tmp_path / "index"))
    members.pack()
    os.mkfifo(tmp_path / "fifo")
    members.entries[0]["pack"][0]["path"] = str(tmp_path / "fifo")
    os.rename(tmp_path / "A0001", tmp_path / "done")
    with pytest.raises(UserError, match="cannot be read"):
        members.pack()
