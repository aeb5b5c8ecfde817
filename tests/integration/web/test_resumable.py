"""Uploads by tus: made, broken off at any byte, gone on with, whole as any other; and whoever errs."""

import asyncio
import base64
import hashlib
import os
import time

import anyio
import httpx
import pytest

from integration.web.inside import gone, inside, send_half
from integration.web.test_uploads import LAB, left, submit
from stoker.project.jobs import resumable, uploads
from stoker.project.jobs.resumable import Resumable
from stoker.project.jobs.uploads import Uploads
from stoker.web.uploads.limits import AT_ONCE, DOORKEEPER

TUS = {"tus-resumable": "1.0.0"}
BODY = b"0123456789abcdef" * 384  # 6 KiB; 10 KiB are allowed


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with inside(tmp_path_factory.mktemp("tus"), toml=LAB) as found:
        yield found


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """Whoever has begun much within the minute of another test may begin."""
    monkeypatch.setattr(DOORKEEPER, "_begun", {})


def coded(text):
    return base64.b64encode(text.encode()).decode()


def create(client, size=6144, name="a b.fa", **more):
    said = f"filename {coded(name)},filetype {coded('text/plain')},empty"
    headers = {**TUS, "upload-length": str(size), "upload-metadata": said, **more}
    return client.post("/uploads", headers=headers)


def append(client, address, offset, content, **more):
    kind = {"content-type": "application/offset+octet-stream", "upload-offset": str(offset)}
    return client.patch(address, headers={**TUS, **kind, **more}, content=content)


def offset(client, address):
    found = client.head(address, headers=TUS)
    assert found.status_code == 200
    assert (found.headers["tus-resumable"], found.headers["cache-control"]) == ("1.0.0", "no-store")
    return int(found.headers["upload-offset"])


def test_an_upload_grows_piece_by_piece_and_is_then_as_any_other(lab):
    client = lab.client()
    made = create(client)
    assert made.status_code == 201, made.text
    address = made.headers["location"]
    upload = address.rpartition("/")[2]
    assert (made.headers["upload-offset"], made.headers["upload-length"]) == ("0", "6144")
    assert made.headers["upload-expires"].endswith("GMT")
    at = 0
    for size in (1, 1000, 0, 3000, 2143):
        assert offset(client, address) == at
        found = client.get(address).json()
        assert (found["offset"], found["size_bytes"], found["name"]) == (at, 6144, "a b.fa")
        assert submit(client, item=upload, more=upload).status_code == 422  # half of it is none
        done = append(client, address, at, BODY[at : at + size])
        at += size
        assert (done.status_code, done.headers["upload-offset"]) == (204, str(at)), done.text
    assert offset(client, address) == 6144
    whole = client.get(address).json()
    assert whole["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert (whole["name"], whole["media"]) == ("a b.fa", "text/plain")
    assert submit(client, item=upload, more=upload).is_success
    assert append(client, address, 6144, b"x").status_code == 404
    assert client.delete(address, headers=TUS).status_code == 204
    assert client.head(address, headers=TUS).status_code == 404


def test_what_is_sent_with_the_creation_is_there(lab):
    client = lab.client()
    headers = {**TUS, "upload-length": "6144", "content-type": "application/offset+octet-stream"}
    made = client.post("/uploads", headers=headers, content=BODY[:100])
    assert (made.status_code, made.headers["upload-offset"]) == (201, "100")
    done = append(client, made.headers["location"], 100, BODY[100:])
    assert done.headers["upload-offset"] == "6144"
    assert client.get(made.headers["location"]).json()["sha256"] == hashlib.sha256(BODY).hexdigest()
    empty = create(client, 0).headers["location"]
    assert client.get(empty).json()["size_bytes"] == 0


def test_the_method_may_stand_in_a_header(lab):
    client = lab.client()
    address = create(client, 3).headers["location"]
    kind = {"content-type": "application/offset+octet-stream", "upload-offset": "0"}
    patch = {**TUS, **kind, "x-http-method-override": "PATCH"}
    assert client.post(address, headers=patch, content=b"abc").status_code == 204
    assert client.post(address, headers={**TUS, "x-http-method-override": "PUT"}).status_code == 405
    delete = {**TUS, "x-http-method-override": "DELETE"}
    assert client.post(address, headers=delete).status_code == 204
    assert client.head(address).status_code == 404


def test_what_is_offered_is_told(lab):
    for path in ("/uploads", "/uploads/" + "0" * 32):
        found = lab.client().options(path).headers
        assert found["tus-version"] == "1.0.0"
        assert "creation" in found["tus-extension"]
        assert "expiration" in found["tus-extension"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"upload-length": ""}, 400),
        ({"upload-length": "-1"}, 400),
        ({"upload-length": "1e3"}, 400),
        ({"upload-length": "9" * 30}, 400),
        ({"upload-length": "10241"}, 413),
        ({"upload-metadata": "filename ###"}, 400),
        ({"upload-metadata": "x " + "A" * 5000}, 400),
        ({"tus-resumable": "0.2.2"}, 412),
    ],
)
def test_what_cannot_be_made_is_refused(lab, headers, status):
    client, before = lab.client(), left(lab)
    found = create(client, **headers)
    assert found.status_code == status, found.text
    assert found.headers["tus-resumable"] == "1.0.0"
    assert left(lab) == before


def test_a_piece_that_does_not_fit_changes_nothing(lab):
    client = lab.client()
    address = create(client, 10).headers["location"]
    assert append(client, address, 0, b"abcd").is_success
    for at in (0, 3, 5, 10):
        found = append(client, address, at, b"efgh")
        assert found.status_code == 409
        assert "Upload-Offset: 4" in found.json()["detail"]
    assert append(client, address, 4, b"e" * 7).status_code == 413
    assert append(client, address, 4, b"e", **{"content-type": "text/plain"}).status_code == 415
    assert append(client, address, "x", b"e").status_code == 400
    assert append(client, "/uploads/" + "f" * 32, 0, b"e").status_code == 404
    assert offset(client, address) == 4


def test_what_has_come_before_a_break_stays_and_is_hashed_right(lab):
    """Also where another process goes on, or this one remembers nothing."""
    client = lab.client()
    address = create(client).headers["location"]

    path = address.removeprefix("http://127.0.0.1:8420")
    headers = [
        (b"tus-resumable", b"1.0.0"), (b"upload-offset", b"0"),
        (b"content-type", b"application/offset+octet-stream"),
    ]  # fmt: skip
    assert lab.loop.run(send_half(lab, "PATCH", path, BODY[:2500], gone, headers)) == 400
    assert offset(client, address) == 2500
    resumable._hashes.clear()
    assert append(client, address, 2500, BODY[2500:]).is_success
    assert client.get(address).json()["sha256"] == hashlib.sha256(BODY).hexdigest()


async def append_async(client, address, content):
    kind = {"content-type": "application/offset+octet-stream", "upload-offset": "0"}
    return await client.patch(address, headers={**TUS, **kind}, content=content)


def test_whoever_asks_how_far_it_is_takes_over_from_a_request_that_hangs(lab):
    address = create(lab.client()).headers["location"]

    async def hang(sent):
        yield BODY[:500]
        sent.set()
        await anyio.sleep(300)

    async def both():
        sent = asyncio.Event()
        transport = httpx.ASGITransport(lab.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8420") as one:
            hanging = asyncio.create_task(append_async(one, address, hang(sent)))
            await asyncio.wait_for(sent.wait(), 30)
            found = await asyncio.wait_for(one.head(address, headers=TUS), 30)
            return (await asyncio.wait_for(hanging, 30)).status_code, found.headers["upload-offset"]

    assert lab.loop.run(both()) == (409, "500")


def test_two_processes_never_write_at_once(lab):
    client = lab.client()
    address = create(client, 10).headers["location"]
    upload = address.rpartition("/")[2]
    growing = Resumable(lab.project).open(upload, offset=0)  # as in another process
    assert append(client, address, 0, b"abc").status_code == 409
    growing.write(b"xy")
    assert growing.close() is None
    assert offset(client, address) == 2


def test_a_full_disk_leaves_nothing(lab, monkeypatch):
    client = lab.client()
    address = create(client).headers["location"]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resumable.os, "write", full)
    assert append(client, address, 0, BODY).status_code == 507
    monkeypatch.undo()
    assert client.head(address).status_code == 404
    assert address.rpartition("/")[2] not in left(lab)


def test_an_upload_that_was_whole_when_its_process_died_can_be_named(lab, monkeypatch):
    client = lab.client()
    address = create(client, 3).headers["location"]

    def dies(*_):
        raise KeyError("killed")

    monkeypatch.setattr(Uploads, "publish", dies)
    assert append(client, address, 0, b"abc").status_code == 500
    monkeypatch.undo()
    assert client.head(address, headers=TUS).headers["upload-offset"] == "3"
    assert client.get(address).json()["sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_what_is_not_gone_on_with_for_a_day_is_removed(lab, monkeypatch):
    client = lab.client()
    address = create(client).headers["location"]
    append(client, address, 0, b"abc")
    upload = address.rpartition("/")[2]
    assert upload not in set(Uploads(lab.project).sweep(now_s=time.time() + uploads.KEEP_S - 60))
    later_s = time.time() + uploads.KEEP_S + 60
    assert upload in set(Uploads(lab.project).sweep(now_s=later_s))
    assert append(client, address, 3, b"d").status_code == 404
    monkeypatch.setattr(resumable, "MOST", 0)
    assert create(client).status_code == 429


def test_a_client_may_not_write_to_many_at_once(lab, monkeypatch):
    client = lab.client()
    address = create(client).headers["location"]
    monkeypatch.setitem(DOORKEEPER._under_way, "127.0.0.1", AT_ONCE)
    monkeypatch.setitem(DOORKEEPER._under_way, "address:127.0.0.1", AT_ONCE)
    assert append(client, address, 0, b"a").status_code == 429


def test_a_link_in_its_place_is_not_followed(lab, tmp_path):
    client = lab.client()
    address = create(client, 10).headers["location"]
    part = Uploads(lab.project).part_of(address.rpartition("/")[2])
    (tmp_path / "other").write_bytes(b"")
    os.unlink(f"{part}/content")
    os.symlink(tmp_path / "other", f"{part}/content")
    assert append(client, address, 0, b"abc").status_code == 503
    assert (tmp_path / "other").read_bytes() == b""
