"""Results that are folders or several files: archives, made as they are sent, of whatever is there."""

import io
import os
import stat
import zipfile

import pytest

from stoker.web import archives


def archive_of(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment")
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    return {one: found.read(one) for one in found.namelist()}


@pytest.fixture(scope="module")
def job(lab):
    address = lab.done("tree")
    assert lab.get(address).json()["status"] == "successful", lab.get(address).text
    return address


def test_a_folder_and_several_files_are_archives(lab, job):
    key = job.rpartition("/")[2]
    tree = archive_of(lab.get(f"{job}/results/tree"))
    assert tree == {
        f"{key}-tree/b %FF.txt": b"two",
        f"{key}-tree/in/side/a.txt": b"one",
        f"{key}-tree/link": b"in/side/a.txt",
    }
    parts = archive_of(lab.get(f"{job}/results/parts"))
    assert parts == {f"parts/{n}.part": str(n).encode() for n in (1, 2, 3)}
    everything = archive_of(lab.get(f"{job}/results.zip"))
    assert everything == tree | parts


def test_a_document_refers_to_archives(lab, job):
    found = lab.get(f"{job}/results", headers={"accept": "application/json"}).json()
    assert found["tree"]["type"] == found["parts"]["type"] == "application/zip"
    assert archive_of(lab.get(found["tree"]["href"]))


def test_the_page_of_the_job_leads_to_all_of_them(lab, job):
    page = lab.get(job, headers={"accept": "text/html"}).text
    path = job.removeprefix(lab.url.rstrip("/"))
    for link in ("results.zip", "results/tree", "results/parts", "results/parts/2"):
        assert f'href="{path}/{link}"' in page, page
    assert lab.get(f"{job}/results/parts/2").content == b"2"


def whole(*entries):
    return zipfile.ZipFile(io.BytesIO(b"".join(archives.pieces(entries))))


def test_what_is_no_file_or_leads_elsewhere_is_named_and_left_out(tmp_path):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "tree"
    folder.mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "kept").write_text("kept")
    os.utime(folder / "kept", (0, 0))  # before zip files can tell
    for name, target in {
        "absolute": tmp_path / "secret", "above": "../secret", "inside": "kept", "gone": "nothing",
    }.items():  # fmt: skip
        (folder / name).symlink_to(target)
    (folder / "up").symlink_to(tmp_path)
    found = whole(archives.Entry("tree", path=str(folder)), archives.Entry("n.json", text="1"))
    assert sorted(found.namelist()) == [
        "LEFT_OUT.txt", "n.json", "tree/gone", "tree/inside", "tree/kept",
    ]  # fmt: skip
    assert b"secret" not in b"".join(found.read(one) for one in found.namelist()[:-1])
    told = found.read("LEFT_OUT.txt").decode()
    for name in ("fifo", "absolute", "above", "up"):
        assert f"tree/{name}: " in told
    assert stat.S_ISLNK(found.getinfo("tree/inside").external_attr >> 16)


def test_an_archive_is_sent_in_pieces_however_large_it_is(tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(1 << 20) * 20)
    largest = max(map(len, archives.pieces([archives.Entry("x", path=str(tmp_path))])))
    assert largest < 1 << 20


def test_a_file_that_is_gone_is_named(tmp_path):
    found = whole(archives.Entry("x", path=str(tmp_path / "gone")))
    assert "x: No such file" in found.read("LEFT_OUT.txt").decode()
