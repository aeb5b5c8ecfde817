"""Pages from templates: everything that stands in them is escaped."""

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from stoker.web.access.forgery import form_token
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.people.static_files import address_of
from stoker.web.people.words import rendered, size_words, time_words, usual_words


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("stoker.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = address_of
    made.filters |= {"markdown": rendered, "size": size_words, "duration": time_words}
    made.filters["usual"] = usual_words
    return made


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page that the template makes of the values.

    Every template also has `static(NAME)`, the address of a style or script below `base`; `base`, the path that all addresses begin with, `project`, `caller`, and
    `form_token()`, which every form has to send.
    """
    site = site_of(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            base=site.links.path,
            project=site.settings.name,
            caller=caller_of(request),
            form_token=functools.partial(form_token, request),
            **values,
        )
    )
    return HTMLResponse(text, status, {"Cache-Control": "no-store", "Vary": "Accept, Cookie"})
