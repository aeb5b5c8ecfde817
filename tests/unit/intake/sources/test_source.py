"""Waiting for descriptors, for whatever time a person asked for."""

import os
import time

import pytest

from stoker.intake.sources import source


@pytest.mark.parametrize("seconds", [3e9, 0.2])
def test_a_wait_ends_as_soon_as_something_can_be_read(seconds):
    reader, writer = os.pipe()
    os.write(writer, b"x")
    began_s = time.monotonic()
    source.await_any(seconds, reader)
    assert time.monotonic() - began_s < 0.15
    os.close(reader)
    os.close(writer)


def test_a_wait_in_pieces_lasts_as_long_as_it_was_meant_to(monkeypatch):
    monkeypatch.setattr(source, "_PIECE_S", 0.02)
    began_s = time.monotonic()
    source.await_any(0.1)
    assert 0.1 <= time.monotonic() - began_s < 5
