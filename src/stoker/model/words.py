"""Text that people read: reasons, troubles, names of persons and workers, whatever they were made of.

Paths and keys are no such text: their odd bytes are kept as they are.
"""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Colours and movements of a terminal: CSI, OSC and the short ones.
_TERMINAL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|[@-Z\\-_])"
)


def shown(text: str) -> str:
    r"""Return `text` as every database and terminal takes it: `\xNN` for a NUL or a byte that is not UTF-8."""
    if text.isascii() and "\0" not in text:
        return text
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a UTF-16 pair, which stands for no byte
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace").replace("\0", r"\x00")


def without_terminal(text: str) -> str:
    """Return `text` without a terminal's commands, which say nothing elsewhere."""
    return _TERMINAL.sub("", text) if "\x1b" in text else text


def visible(text: str) -> str:
    """Return `text` on one line, with control characters as escapes."""
    return _CONTROL.sub(_escape, text)


def visible_lines(text: str) -> str:
    """Return `text` with its lines, and other control characters as escapes."""
    return _CONTROL_BUT_LINES.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
