"""The checks notice when a guard is missing, and find nothing where none is."""

import pytest

from faults import guards, sabotage


@pytest.mark.parametrize("guard", guards.SCENES)
def test_with_the_guard_all_promises_hold(site, guard):
    found = guards.play(site, guard, is_out=False)
    assert not found, "\n".join(map(str, found)) + "\n" + site.dump()


@pytest.mark.parametrize("guard", guards.SCENES)
def test_without_the_guard_the_checks_fail(site, guard):
    found = guards.play(site, guard, is_out=True)
    assert guards.SCENES[guard][1] in {one.check for one in found}, site.dump()


def test_every_guard_has_a_scene():
    assert set(guards.SCENES) == set(sabotage.GUARDS)
