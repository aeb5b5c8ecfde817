"""Whether a start is over: its process is known by more than its number, which others get again."""

import os

import pytest

from stoker.outpost.starts import is_over, own_facts

BOOT = "b" * 36


@pytest.mark.parametrize(
    ("change", "over"),
    [
        ({}, False),
        ({"began": 1}, True),  # another process has its number now
        ({"boot": f"{BOOT}.1"}, True),  # the host was started again
        ({"host": "n17"}, None),
        ({"pid": -1}, None),
        ({"pid": "1"}, None),
        ({"began": None}, None),
        ({"host": None}, None),
    ],
)
def test_a_start_is_known_by_host_boot_process_and_its_beginning(change, over):
    assert is_over(own_facts() | change) is over


def test_a_process_of_another_container_may_live():
    boot = own_facts()["boot"].partition(".")[0]
    assert is_over(own_facts() | {"boot": f"{boot}.1"}) is None


def test_one_that_has_ended_is_over():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert is_over(own_facts() | {"pid": child}) is True
