"""The drawing of a pipeline's steps."""

import itertools

from stoker.web.panel.graph import HEIGHT, MOST, WIDTH, graph_of


def test_a_step_is_right_of_those_before_it_and_no_boxes_overlap():
    steps = [("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c")), ("alone", ())]
    graph = graph_of(steps, {"b": {"ready": 5, "done": 2}, "c": {"ready": 3, "failed": 1}})
    at = {box.name: (box.x, box.y) for box in graph.boxes}
    for name, before in steps:
        for one in before:
            assert at[one][0] + WIDTH < at[name][0]
    places = sorted(at.values())
    for (x1, y1), (x2, y2) in itertools.pairwise(places):
        assert x1 != x2 or y1 + HEIGHT < y2
    assert len(graph.lines) == 4
    assert [box.name for box in graph.boxes if box.is_longest] == ["b"]
    assert all(x + WIDTH <= graph.width and y + HEIGHT <= graph.height for x, y in places)


def test_a_line_that_follows_from_others_is_not_drawn_through_a_box():
    steps = [("a", ()), ("b", ("a",)), ("c", ("a", "b")), ("d", ("a", "c", "b")), ("e", ("b",))]
    assert len(graph_of(steps, {}).lines) == 4, "a-b, b-c, c-d and b-e"


def test_too_many_steps_are_not_drawn():
    assert graph_of([(f"s{n}", ()) for n in range(MOST + 1)], {}) is None
    assert graph_of([], {}) is None
    assert graph_of([(f"s{n}", ()) for n in range(MOST)], {}) is not None
