"""Whether a file's content can be of a media type: as far as its first bytes say so for certain.

Only types whose files always begin with the same bytes are held to them. A guess that is sometimes
wrong would refuse good data.
"""

HEAD_BYTES = 8192  # of a file, to tell text from other things

_MARKS: dict[str, tuple[bytes, ...]] = {
    "application/gzip": (b"\x1f\x8b",),
    "application/pdf": (b"%PDF-",),
    "application/x-bzip2": (b"BZh",),
    "application/x-hdf5": (b"\x89HDF\r\n\x1a\n",),
    "application/x-xz": (b"\xfd7zXZ\0",),
    "application/zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "application/zstd": (b"\x28\xb5\x2f\xfd",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_TEXTS = ("application/json", "application/xml")


def is_of(media: str, accepted: tuple[str, ...]) -> bool:
    """Whether a media type, parameters ignored, is one of the accepted ones, or of their kind."""
    kind = media.partition(";")[0].strip().lower()
    return any(
        kind == one or (one.endswith("/*") and kind.startswith(one[:-1])) for one in accepted
    )


def contradiction(head: bytes, accepted: tuple[str, ...]) -> str | None:
    """Return why a file that begins so is of none of the accepted types; None if it may be."""
    if any(_may_be(head, one) for one in accepted):
        return None
    found = _marked(head)
    if found is not None:
        return f"its content is `{found}`"
    return "its content is not text" if b"\0" in head else "its content is something else"


def _may_be(head: bytes, media: str) -> bool:
    found = _marked(head)
    if media in _MARKS:
        return found == media
    if media.startswith("text/") or media in _TEXTS or media.endswith(("+json", "+xml")):
        return found is None and b"\0" not in head
    return found is None or not media.endswith("/*") or is_of(found, (media,))


def _marked(head: bytes) -> str | None:
    """Return the media type whose mark the file begins with."""
    for media, marks in _MARKS.items():
        if head.startswith(marks):
            return media
    return None
