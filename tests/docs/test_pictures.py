"""The pictures of the documentation: each exists, is small, is described, and stands in a page."""

import re

import pytest

from docs.test_tutorial import ROOT

FOLDER = ROOT / "docs" / "_static" / "pages"
MOST_BYTES = 150_000
TEXTS = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


def shown():
    """Pairs of a page and a picture that it shows, with the words for those who do not see it."""
    return [
        (page, words, (page.parent / path).resolve())
        for page in TEXTS
        if "_build" not in page.parts
        for words, path in PICTURE.findall(page.read_text("utf-8"))
        if "://" not in path
    ]


def test_every_picture_in_a_page_exists_and_is_described():
    found = shown()
    assert len(found) >= 5
    for page, words, picture in found:
        assert picture.is_file(), (page, picture)
        assert len(words) > 20, (page, picture)


def test_every_picture_of_the_pages_is_shown_somewhere():
    assert {path.name for path in FOLDER.iterdir()} == {
        picture.name for _, _, picture in shown() if picture.parent == FOLDER
    }


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_picture_is_small(path):
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) <= MOST_BYTES
