"""What an attempt's end means: `checks.classify` and how causes are made alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.model.pipeline import Argv, Cause, Step, Verdict
from stoker.model.states import AttemptState
from stoker.work.capture import Captured
from stoker.work.checks import CAUSE_LIMIT, Ending, classify, normalise
from stoker.work.exit import Exit

FAILED, SUCCEEDED = AttemptState.FAILED, AttemptState.SUCCEEDED


def seen(*, stdout=b"", stderr=b"", **more) -> Exit:
    """An exit with these streams."""
    streams = (Captured(size_bytes=len(text), head=text) for text in (stdout, stderr))
    return Exit(**dict(zip(("stdout", "stderr"), streams, strict=True)), **more)


def step(**more) -> Step:
    return Step(name="s", action=Argv(words=("true",)), **more)


def test_exit_code_zero_is_success():
    assert classify(step(), seen(exit_code=0)) == Ending(SUCCEEDED, Verdict.DONE)


def test_other_codes_fail_and_may_be_tried_again():
    ending = classify(step(), seen(exit_code=3))
    assert (ending.state, ending.verdict) == (FAILED, Verdict.RETRY)
    assert ending.reason == "exit code 3"
    assert ending.cause == "exit code 3"


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.DONE, SUCCEEDED),
        (Verdict.SKIP, SUCCEEDED),
        (Verdict.STOP, SUCCEEDED),
        (Verdict.LATER, FAILED),
        (Verdict.RETRY, FAILED),
        (Verdict.FAIL, FAILED),
    ],
)
def test_the_steps_exits_decide(verdict, state):
    ending = classify(step(exits={7: verdict}), seen(exit_code=7))
    assert (ending.state, ending.verdict) == (state, verdict)


def test_exit_zero_can_be_declared_a_failure():
    ending = classify(step(exits={0: Verdict.FAIL}), seen(exit_code=0))
    assert (ending.state, ending.verdict) == (FAILED, Verdict.FAIL)


def test_a_signal_is_named():
    ending = classify(step(), seen(signal=11))
    assert (ending.state, ending.reason) == (FAILED, "killed by signal SIGSEGV")


def test_a_signal_without_a_name_is_numbered():
    assert "signal 42" in (classify(step(), seen(signal=42)).reason or "")


def test_what_the_worker_stopped_it_for_rules_over_everything():
    stopped = Ending(AttemptState.TIMED_OUT, Verdict.RETRY, "too long", "time limit reached")
    assert classify(step(), seen(exit_code=0), stopped=stopped) == stopped
    assert classify(step(), seen(signal=15), stopped=stopped) == stopped


def test_an_error_marker_fails_what_exited_well():
    marked = step(error_markers=("(?i)^error:",))
    ending = classify(marked, seen(exit_code=0, stdout=b"fine\nERROR: no head\nmore\n"))
    assert ending.state is FAILED
    assert ending.reason == "error marker in the output: ERROR: no head"
    assert ending.cause == "ERROR: no head"


def test_a_marker_is_searched_line_by_line():
    marked = step(error_markers=("^error$",))
    assert classify(marked, seen(exit_code=0, stderr=b"an error\n")).state is SUCCEEDED
    assert classify(marked, seen(exit_code=0, stderr=b"an\nerror\n")).state is FAILED


def test_the_stated_reason_is_the_cause_word_for_word():
    ending = classify(step(), seen(exit_code=1, stated="lamp 7 is dark", stderr=b"x\ny\n"))
    assert ending.reason == "lamp 7 is dark"
    assert ending.cause == "lamp 7 is dark"


def test_a_known_cause_comes_before_all_others():
    known = step(causes=(Cause(match="no license", say="licences used up", do="wait"),))
    ending = classify(known, seen(exit_code=1, stated="sorry", stderr=b"matlab: no license\n"))
    assert ending.cause == "licences used up"
    assert ending.reason == "sorry"


def test_the_exceptions_line_says_more_than_the_last_line():
    stderr = b"Traceback:\nValueError: bad head in /data/a.mseed\n\nfor help see http\n"
    ending = classify(step(), seen(exit_code=1, stderr=stderr))
    assert ending.reason == "exit code 1: ValueError: bad head in /data/a.mseed"
    assert ending.cause == "ValueError: bad head in …"


def test_a_cause_names_an_exception_without_its_module():
    ending = classify(step(), seen(error="lab.seismology.UnusableError: no samples"))
    assert ending.reason == "lab.seismology.UnusableError: no samples"
    assert ending.cause == "UnusableError: no samples"
    stderr = b"Traceback:\n  ...\njson.decoder.JSONDecodeError: Expecting value: line 1\n"
    ending = classify(step(), seen(exit_code=1, stderr=stderr))
    assert ending.cause == "JSONDecodeError: Expecting value: line …"
    assert normalise("main.R: no such column") == "main.R: no such column"


def test_a_problem_fails_only_what_ended_well():
    assert classify(step(), seen(exit_code=0, problem="no JSON")).reason == "no JSON"
    assert classify(step(), seen(exit_code=1, problem="no JSON")).reason == "exit code 1"


def test_bytes_that_are_no_text_do_no_harm():
    ending = classify(step(), seen(exit_code=1, stderr=b"\xff\xfe bad \x1b[31m\x00\n"))
    assert ending.state is FAILED
    assert (ending.reason or "").isprintable()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cannot read /data/a/1.dat: gone", "cannot read /srv/b.dat: gone"),
        ("line 12: bad value -3.5e-7", "line 9: bad value 12"),
        ("object at 0x7f00aa", "object at 0x1"),
        ("block deadbeef01 is broken", "block 00ff00ff12aa is broken"),
        ("no 'BW.BGLD.mseed' here", "no 'BW.ROTZ.mseed' here"),
    ],
)
def test_equal_failures_of_different_items_group(one, other):
    keys = ("in/BW.BGLD.mseed", "in/BW.ROTZ.mseed")
    assert normalise(one, keys[0]) == normalise(other, keys[1])


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("cannot bind Port_99 of r38", "cannot bind Port_… of r…"),
        ("Port99, Port32 and Port7", "Port…, Port… and Port…"),
        (
            "no sha256 in HDF5 of float64",
            "no sha256 in HDF5 of float64",
        ),
        ("chr1_gl000191_random", "chr…_gl…_random"),
    ],
)
def test_numbers_in_names_are_masked_but_not_in_words_of_the_trade(text, cause):
    assert normalise(text) == cause


def test_what_bash_says_of_a_step_s_text_goes_without_its_line():
    said = b"s: line 3: blastx: command not found\n"
    ending = classify(step(), seen(exit_code=127, stderr=said))
    assert ending.reason == "exit code 127: blastx: command not found"
    assert ending.cause == "blastx: command not found"
    other = classify(step(), seen(exit_code=1, stderr=b"awk: line 3: odd\n"))
    assert other.reason == "exit code 1: awk: line 3: odd"


def test_different_failures_do_not_group():
    assert normalise("no such file: a") != normalise("permission denied: a")
    assert normalise("sha256 of block differs") != normalise("size of block differs")


@given(st.text(), st.text(max_size=20))
def test_a_cause_is_one_printable_line_of_bounded_length(text, key):
    cause = normalise(text, key)
    assert len(cause) <= CAUSE_LIMIT
    assert "\n" not in cause


@given(st.none() | st.integers(0, 255), st.none() | st.integers(1, 64), st.binary(max_size=200))
def test_every_end_has_a_meaning(code, number, stderr):
    ending = classify(step(), seen(exit_code=code, signal=number, stderr=stderr))
    good = number is None and code in (0, None)
    assert (ending.state is SUCCEEDED) is good
    assert (ending.reason is None) is good
