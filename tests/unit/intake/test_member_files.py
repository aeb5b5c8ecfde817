"""Files that name members: read once they are whole, refused in words, never waited on."""

import os
import time

import pytest

from stoker.intake.member_files import NotReadable, exists, read_names


def old(path, content: bytes):
    """A file that was written a while ago."""
    path.write_bytes(content)
    past_s = time.time() - 60
    os.utime(path, (past_s, past_s))
    return str(path)


def refusal(path, *, settle_s: float = 1.0) -> NotReadable:
    with pytest.raises(NotReadable) as found:
        read_names(str(path), settle_s=settle_s)
    return found.value


def test_names_stand_one_a_line(tmp_path):
    path = old(tmp_path / "content", b"# of the run\r\na/1\r\n\n  two words \nend")
    assert read_names(path, settle_s=1.0) == ["a/1", "two words", "end"]


def test_a_file_that_is_being_written_is_read_once_it_has_settled(tmp_path):
    path = tmp_path / "content"
    path.write_bytes(b"a/1\na/")
    found = refusal(path, settle_s=60.0)
    assert not found.is_wrong
    assert "to settle" in str(found)
    assert 0 < found.again_s <= 60
    assert read_names(old(path, b"a/1\na/2\n"), settle_s=60.0) == ["a/1", "a/2"]


def test_one_that_was_written_in_the_future_is_read(tmp_path):
    """By a host whose clock is wrong: it would be waited for otherwise."""
    path = tmp_path / "content"
    path.write_bytes(b"a/1\n")
    ahead_s = time.time() + 3600
    os.utime(path, (ahead_s, ahead_s))
    assert read_names(str(path), settle_s=1.0) == ["a/1"]


def test_it_is_looked_at_again_when_it_is_replaced(tmp_path):
    path = tmp_path / "content"
    assert read_names(old(path, b"a/1\n"), settle_s=1.0) == ["a/1"]
    old(tmp_path / "new", b"a/1\na/2\n")
    os.replace(tmp_path / "new", path)
    assert read_names(str(path), settle_s=1.0) == ["a/1", "a/2"]


@pytest.mark.parametrize(
    ("content", "words", "is_wrong"),
    [
        (b"", "it is empty", False),
        (b"# nothing but words\n\n", "it is empty", False),
        (b"\0\1\2" * 99, "NUL", True),
    ],
)
def test_what_is_no_list_is_refused_in_words(tmp_path, content, words, is_wrong):
    found = refusal(old(tmp_path / "content", content))
    assert words in str(found)
    assert found.is_wrong is is_wrong


def test_what_is_not_there_may_come(tmp_path):
    found = refusal(tmp_path / "content")
    assert not found.is_wrong
    assert "is not there" in str(found)


def test_a_path_that_cannot_be_one_is_a_mistake(tmp_path):
    for name in ("x" * 300, "a\0b"):
        path = f"{tmp_path}/{name}"
        with pytest.raises(NotReadable) as found:
            read_names(path, settle_s=1.0)
        assert found.value.is_wrong
        assert not exists(path)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "content"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    found = refusal(path)
    assert found.is_wrong
    assert "has 100 MiB" in str(found)
