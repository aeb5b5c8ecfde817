"""Uploads over HTTP: streamed, limited, complete or not there, and the only files that inputs name."""

import asyncio
import hashlib
import os
import time

import pytest

from integration.web.inside import gone, inside, send_half
from stoker.project.jobs import uploads as kept
from stoker.project.jobs.uploads import Uploads

LAB = """
[project]
name = "lab"
[pipelines.look]
params.more = { type = "path", media = "text/plain" }
[pipelines.look.web]
public = true
max_upload = "10K"
[pipelines.look.steps.s]
run = "cat {item} > {out.copy}"
outputs.copy = { to = "out/{key}.txt" }
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    with inside(folder, toml=LAB) as found:
        yield found


def left(lab):
    """The names of all uploads, whole or not."""
    folder = lab.project.store.folder / "uploads"
    found = [one for name in ("parts", "files") for one in (folder / name).glob("*")]
    return {one.name for one in found}


def submit(client, **inputs):
    return client.post("/api/v1/pipelines/look/items", json={"items": [{"inputs": inputs}]})


def test_an_upload_is_kept_with_its_name_and_digest(lab):
    client = lab.client()
    sent = client.put(
        "/uploads/a%20b.fa", content=b">a\nMK\n", headers={"content-type": "text/plain"}
    )
    assert sent.status_code == 201, sent.text
    found = client.get(f"/uploads/{sent.json()['id']}").json()
    assert found == sent.json()
    assert (found["name"], found["size_bytes"], found["media"]) == ("a b.fa", 6, "text/plain")
    assert found["sha256"] == hashlib.sha256(b">a\nMK\n").hexdigest()
    assert sent.headers["location"].endswith(f"/uploads/{found['id']}")
    assert client.delete(f"/uploads/{found['id']}").status_code == 204
    assert client.get(f"/uploads/{found['id']}").status_code == 404


def test_each_file_of_a_form_is_an_upload(lab):
    files = [("file", ("one.txt", b"1" * 100)), ("file", ("../../two.txt", b""))]
    sent = lab.client().post("/uploads", files=files)
    assert sent.status_code == 201, sent.text
    assert [(one["name"], one["size_bytes"]) for one in sent.json()["uploads"]] == [
        ("one.txt", 100),
        ("two.txt", 0),
    ]


@pytest.mark.parametrize("is_stated", [True, False], ids=["length_stated", "length_wrong"])
def test_one_that_is_too_large_leaves_nothing(lab, is_stated):
    before = left(lab)
    headers = {} if is_stated else {"content-length": "9000"}  # what it says need not be true
    sent = lab.client().put("/uploads/big", content=b"x" * 20_000, headers=headers)
    assert sent.status_code == 413
    assert "10,240 bytes" in sent.text
    sent = lab.client().post("/uploads", files=[("a", b"small"), ("b", b"x" * 20_000)])
    assert sent.status_code == 413
    assert left(lab) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nhalf of it',
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nwhole\r\n--b\r\n',
        b"--b\r\nContent-Type: text/plain\r\n\r\nno name\r\n--b--\r\n",
        b"--b\r\n" + b"X-Long: " + b"x" * 10_000 + b"\r\n\r\n--b--\r\n",
    ],
    ids=["empty", "other", "half", "half_after_a_file", "nameless", "long_header"],
)
def test_a_form_that_breaks_off_leaves_nothing(lab, body):
    before = left(lab)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    sent = lab.client().post("/uploads", content=body, headers=headers)
    assert sent.status_code == 400, sent.text
    assert left(lab) == before


def test_a_client_that_goes_away_or_stalls_leaves_nothing(lab, monkeypatch):
    monkeypatch.setattr("stoker.web.uploads.receiving.STALLED_S", 0.1)
    before = left(lab)

    async def never():
        await asyncio.sleep(60)

    assert lab.loop.run(send_half(lab, "PUT", "/uploads/x", b"half", gone)) == 400
    assert lab.loop.run(send_half(lab, "PUT", "/uploads/x", b"half", never)) == 408
    assert left(lab) == before


def test_a_full_disk_is_507_and_leaves_nothing(lab, monkeypatch):
    before = left(lab)
    monkeypatch.setattr(kept, "SPARE_BYTES", 1 << 62)
    monkeypatch.setattr(kept, "SPARE_SHARE", 1.0)
    assert lab.client().put("/uploads/x", content=b"x").status_code == 507
    monkeypatch.undo()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert lab.client().put("/uploads/x", content=b"x").status_code == 507
    assert left(lab) == before


def test_an_input_names_an_upload_and_never_a_path(lab):
    client = lab.client()
    upload = client.put("/uploads/x.txt", content=b"hello").json()
    for name in (upload["id"], upload["href"], f"uploads/{upload['id']}"):
        assert submit(client, item=name).status_code == 201, name
    secret = lab.file.parent / "secret.txt"
    secret.write_text("secret")
    half = Uploads(lab.project).begin()
    names = [
        *(str(secret), f"file://{secret}", "secret.txt", "../stoker.toml", "uploads/../../secret"),
        *("0" * 32, os.listdir(lab.project.store.folder / "uploads" / "parts")[0], "", 5, None),
        *("http://127.0.0.1:8420/jobs/x/inputs/item", "processes/look/example/item", ["a"]),
    ]
    for name in names:
        found = submit(client, item=name)
        assert found.status_code == 422, name
        assert found.json()["items"][0]["errors"][0]["input"] == "item", name
    half.discard()


def test_what_is_larger_than_the_pipeline_allows_cannot_be_submitted(lab):
    found = Uploads(lab.project).begin()
    found.write(b"x" * 20_000)
    upload = found.finish(name="big")
    answer = submit(lab.client(), item=upload.id).json()
    assert answer["items"][0]["errors"][0]["rule"] == "max_upload"


def test_strangers_upload_only_where_a_public_pipeline_takes_files(tmp_path):
    with inside(tmp_path) as lab:
        assert lab.client().put("/uploads/x", content=b"x").status_code == 401
        assert not (lab.project.store.folder / "uploads").exists()


def test_old_uploads_are_removed_finished_or_not(lab):
    whole = Uploads(lab.project).begin()
    whole.write(b"x")
    upload = whole.finish(name="x")
    half = Uploads(lab.project).begin()
    now_s = time.time()
    assert upload.id not in set(Uploads(lab.project).sweep(now_s=now_s + kept.KEEP_S / 2))
    gone = set(Uploads(lab.project).sweep(now_s=now_s + kept.KEEP_S + 10))
    assert upload.id in gone
    assert left(lab) == set()
    half.discard()
