"""Streams: bounded while they grow, whole where they are short, head and tail where not."""

import os

import pytest

from stoker.work import capture
from stoker.work.capture import NOTHING, TEXT_BYTES, Captured, StreamFile, keep

KEPT = 64 * 1024


@pytest.fixture
def stream(tmp_path):
    found = StreamFile(str(tmp_path / "stdout"), kept_bytes=KEPT)
    yield found
    found.close()


def test_an_empty_stream_costs_nothing(stream, tmp_path):
    assert stream.collect() is NOTHING
    kept = keep(NOTHING, str(tmp_path / "logs" / "a.out"))
    assert (kept.size_bytes, kept.path, kept.text) == (0, None, b"")
    assert not (tmp_path / "logs").exists()


def test_a_short_stream_is_text(stream, tmp_path):
    os.write(stream.descriptor, b"hello \xff\n")
    kept = keep(stream.collect(), str(tmp_path / "logs" / "a.out"))
    assert kept.text == b"hello \xff\n"
    assert kept.path is None
    assert stream.collect() is NOTHING


def test_a_longer_stream_is_a_file(stream, tmp_path):
    content = b"x" * (TEXT_BYTES + 1)
    os.write(stream.descriptor, content)
    path = tmp_path / "logs" / "day" / "a.out"
    kept = keep(stream.collect(), str(path))
    assert (kept.size_bytes, kept.truncated, kept.text) == (len(content), False, b"")
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_the_next_attempt_begins_with_an_empty_file(stream):
    os.write(stream.descriptor, b"one")
    stream.collect()
    os.write(stream.descriptor, b"two")
    assert stream.collect().text == b"two"


@pytest.mark.parametrize("can_punch", [True, False])
def test_a_flood_takes_little_more_than_the_limit_on_disk(stream, tmp_path, monkeypatch, can_punch):
    if not can_punch:
        monkeypatch.setattr(capture, "_punch", lambda *_: False)
    os.write(stream.descriptor, b"FIRST")
    line = b"0123456789abcde\n" * 1024
    for _ in range(100):
        os.write(stream.descriptor, line)
        stream.bound()
        assert os.fstat(stream.descriptor).st_blocks * 512 <= 2 * KEPT + 2 * len(line)
    os.write(stream.descriptor, b"LAST")
    captured = stream.collect()
    assert captured.size_bytes == 100 * len(line) + 9
    assert captured.head.startswith(b"FIRST01234")
    assert captured.tail.endswith(b"LAST")
    assert b"\0" not in captured.text
    assert len(captured.head) + captured.left_out + len(captured.tail) == captured.size_bytes
    kept = keep(captured, str(tmp_path / "a.out"))
    assert kept.truncated
    text = (tmp_path / "a.out").read_bytes()
    assert f"[… {captured.left_out} bytes left out …]".encode() in text
    assert len(text) < KEPT + 100


def test_a_step_that_truncates_its_own_stream_does_no_harm(stream):
    os.write(stream.descriptor, b"x" * 3 * KEPT)
    stream.bound()
    os.ftruncate(stream.descriptor, 0)
    os.write(stream.descriptor, b"again")
    stream.bound()
    assert stream.collect().text == b"again"


def test_a_log_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"exists|directory"):
        keep(Captured(TEXT_BYTES + 1, b"x" * (TEXT_BYTES + 1)), str(tmp_path / "logs" / "a.out"))
    assert list(tmp_path.iterdir()) == [tmp_path / "logs"]
