"""The numbers of states, which stores hold, and what follows from each state."""

import itertools

import pytest

from stoker.model.states import (
    AttemptState,
    ItemState,
    MemberState,
    PilotState,
    TaskState,
    WorkerState,
    item_state,
)

IN_STORES = {  # in the order of their numbers, from 0 on: a store that is there has them so
    TaskState: "blocked ready running held done skipped failed cancelled",
    AttemptState: "running succeeded failed timed_out out_of_memory cancelled lost",
    ItemState: "quarantined running held failed cancelled waiting done",
    WorkerState: "alive ended dead",
    MemberState: "open done skipped failed cancelled",
    PilotState: "waiting running ended lost failed refused cancelled",
}


@pytest.mark.parametrize("kind", IN_STORES, ids=lambda kind: kind.__name__)
def test_the_numbers_of_states_stay_as_they_are_in_stores(kind):
    words = IN_STORES[kind].split()
    assert {state.word: state.value for state in kind} == {w: n for n, w in enumerate(words)}
    assert kind.words() == tuple(words)
    assert [kind.of(word) for word in words] == list(kind)


@pytest.mark.parametrize(
    ("kind", "question", "words"),
    [
        (TaskState, "is_satisfied", "done skipped"),
        (TaskState, "is_open", "blocked ready running held"),
        (MemberState, "is_over", "done skipped failed cancelled"),
        (MemberState, "is_bad", "failed cancelled"),
        (PilotState, "is_live", "waiting running"),
    ],
)
def test_what_a_state_means(kind, question, words):
    assert {state.word for state in kind if getattr(state, question)} == set(words.split())


def test_an_item_is_in_the_first_state_that_one_of_its_tasks_calls_for():
    order = ["running", "held", "failed", "cancelled", "ready", "blocked"]
    called = ["running", "held", "failed", "cancelled", "waiting", "waiting"]
    for size in (1, 2, 3):
        for words in itertools.combinations([*order, "done", "skipped"], size):
            first = next((called[order.index(one)] for one in words if one in order), "done")
            assert item_state(map(TaskState.of, words)).word == first, words
    assert item_state([]) is ItemState.DONE
