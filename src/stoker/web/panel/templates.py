"""The templates of the pages and the report: all that they write is escaped and visible."""

import functools
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from stoker.web.panel import words
from stoker.web.people.words import size_words


@functools.cache
def environment() -> Environment:
    """Return the templates. All that they write is escaped, and control characters are visible."""
    made = Environment(
        loader=PackageLoader("stoker.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=words.clean,
    )
    made.filters |= {
        "size": size_words,
        "number": words.number,
        "span": words.span,
        "look": words.look_of,
        "moment": words.moment,
        "code": words.code,
    }
    made.globals |= {"plural": words.plural, "link": link}
    return made


def link(path: str, **query: object) -> str:
    """Return an address below `base`, with the parts of the query that are given, in their order."""
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        several = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, str(one)) for one in several if one is not None and one != ""]
    text = urlencode(pairs, quote_via=quote, safe="", errors="surrogateescape")
    return f"{path}?{text}" if text else path
