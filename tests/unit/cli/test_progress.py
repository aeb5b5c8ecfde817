"""What the progress of a run says between two looks at the store."""

from types import SimpleNamespace

from stoker.cli.progress import Progress


def event(done):
    return SimpleNamespace(done=done, failed=0, skipped=0, cancelled=0)


def test_what_was_ended_since_the_totals_were_asked_for_is_counted_in():
    tasks = {"done": 3, "skipped": 0, "failed": 1, "cancelled": 0, "ready": 6}
    status = SimpleNamespace(pipelines={"p": SimpleNamespace(tasks=tasks, eta_s=None)})
    progress = Progress(SimpleNamespace(status=lambda **_: status), None)
    assert progress._totals(event(0)) == (0, 0, None)
    progress._ask(event(2))
    assert progress._totals(event(2)) == (4, 10, None)
    assert progress._totals(event(5)) == (7, 10, None)
    assert progress._totals(event(50)) == (10, 10, None)
