"""What `Accept` and `Prefer` mean, however they are written."""

import pytest

from stoker.web.negotiation import preferences, preferred

JSON, HTML = "application/json", "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ([], JSON),
        (["*/*"], JSON),
        ([BROWSER], HTML),
        (["application/json"], JSON),
        (["APPLICATION/JSON ; q=0.5, text/html;q=0.4"], JSON),
        (["application/json;q=0.1, text/*"], HTML),
        (["application/*;q=0, text/html"], HTML),
        (["text/html", "application/json;q=0.9"], HTML),
        (["image/png"], None),
        (["application/json;q=0"], None),
        (["application/json;q=x"], None),
        ([","], JSON),
    ],
)
def test_the_preferred_form(accept, found):
    assert preferred(accept, (JSON, HTML)) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], {}),
        (["respond-async "], {"respond-async": ""}),
        (["RESPOND-ASYNC"], {"respond-async": ""}),
        (["respond-async, wait=10"], {"respond-async": "", "wait": "10"}),
        (["respond-async", "wait = 10"], {"respond-async": "", "wait": "10"}),
        (['wait="7"; foo=bar , respond-sync'], {"wait": "7", "respond-sync": ""}),
        (["handling=lenient,,wait=1,wait=2"], {"handling": "lenient", "wait": "1"}),
    ],
)
def test_preferences(lines, found):
    assert preferences(lines) == found
