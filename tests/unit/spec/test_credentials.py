"""Passwords from variables and files: what is odd is refused at once, and never shown."""

import os

import pytest

from stoker.errors import Refused, UserError
from stoker.spec.credentials import expanded, password_in


def test_the_first_line_is_the_password(tmp_path):
    (tmp_path / "p").write_bytes(b"secret \r\nmore\n")
    (tmp_path / "p").chmod(0o600)
    assert password_in(str(tmp_path / "p"), of="the store") == "secret "


@pytest.mark.parametrize("kind", ["fifo", "folder", "none", "bytes"])
def test_what_is_no_text_file_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "p"
    if kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir()
    elif kind == "bytes":
        path.write_bytes(b"\xff\n")
        path.chmod(0o600)
    with pytest.raises(UserError, match=f"`password_file` `{path}` of the feed"):
        password_in(str(path), of="the feed")


@pytest.mark.parametrize("mode", [0o604, 0o602])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path, mode):
    (tmp_path / "p").write_text("secret\n")
    (tmp_path / "p").chmod(mode)
    with pytest.raises(Refused, match="chmod o=") as refused:
        password_in(str(tmp_path / "p"), of="the store")
    assert "secret" not in str(refused.value)


def test_variables_are_replaced_and_a_missing_one_is_named(monkeypatch):
    monkeypatch.setenv("LAB_PASSWORD", "a$b")
    monkeypatch.delenv("OTHER", raising=False)
    assert expanded("x:${LAB_PASSWORD}@$HOME", of="the feed's URL") == "x:a$b@$HOME"
    with pytest.raises(UserError, match=r"the feed's URL names `\$\{OTHER\}`"):
        expanded("${OTHER}", of="the feed's URL")
