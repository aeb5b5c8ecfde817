"""Text that people read: reasons, troubles, names of persons and workers, whatever they were made of.

Paths and keys are no such text: their odd bytes are kept as they are.
"""


def shown(text: str) -> str:
    r"""Return `text` as every database and terminal takes it: `\xNN` for a NUL or a byte that is not UTF-8."""
    if text.isascii() and "\0" not in text:
        return text
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a UTF-16 pair, which stands for no byte
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace").replace("\0", r"\x00")
