"""The body of an execution: what is asked for, checked as a whole before anything is accepted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.errors import StokerError
from stoker.model.offer import results_of
from stoker.model.pipeline import Param, ParamType, Pipeline
from stoker.spec.problems import suggest
from stoker.web.ogc.describing import media_of
from stoker.web.outbound import check_url
from stoker.web.problems import InputError

_MEMBERS = ("inputs", "outputs", "response", "subscriber")
_EVENTS = {
    "successUri": "success",
    "successUrl": "success",  # as the schema of the standard spells it
    "inProgressUri": "inProgress",
    "failedUri": "failed",
}
_OF_VALUE = ("value", "mediaType", "encoding", "schema", "format")
_MODES = ("value", "reference")
_RESPONSES = ("raw", "document")
_FORMAT = ("mediaType", "encoding", "schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A request, whose inputs still have to be checked; `errors` are mistakes in all the rest.

    `modes` has the transmission mode of each output that is wanted, in the pipeline's order.
    `response` is None where the client leaves it open.
    """

    inputs: Mapping[str, Any]
    modes: Mapping[str, str]
    response: str | None
    subscriber: Mapping[str, str]
    errors: tuple[InputError, ...]

    def as_meta(self, pipeline: Pipeline) -> dict[str, Any]:
        """Return what has to be kept of the request beside the values; nothing of an ordinary one."""
        everything = {one.name: "value" for one in results_of(pipeline)}
        kept: dict[str, Any] = {} if self.modes == everything else {"outputs": dict(self.modes)}
        if self.response is not None:
            kept["response"] = self.response
        return {"request": kept} if kept else {}


def read_execution(
    pipeline: Pipeline, body: Mapping[str, Any], *, outbound: Sequence[str] = ()
) -> Execution:
    """Return the execution that the body asks for, with mistakes noted.

    `outbound` are the private hosts that may be called back.
    """
    errors: list[InputError] = []
    for name in body:
        if name not in _MEMBERS:
            _add(errors, name, "unknown", f"there is no `{name[:60]}` in a request", _MEMBERS)
    inputs = _bare(pipeline, _object(body, "inputs", errors), errors)
    response = body.get("response")
    if "response" in body and response not in _RESPONSES:
        detail = f"`response` is {shown(response)!r}; it is `raw` or `document`"
        errors.append(InputError(input="response", rule="enum", limit=_RESPONSES, detail=detail))
    modes = _modes(pipeline, body, errors)
    subscriber = _subscriber(body, outbound, errors)
    return Execution(
        inputs=inputs,
        modes=modes,
        response=response,
        subscriber=subscriber,
        errors=tuple(errors),
    )


def _subscriber(
    body: Mapping[str, Any], outbound: Sequence[str], errors: list[InputError]
) -> dict[str, str]:
    """Return where to report what, by the name of the event."""
    found = {}
    for name, url in _object(body, "subscriber", errors).items():
        if name not in _EVENTS:
            _add(errors, f"subscriber.{name}", "unknown", f"there is no `{name[:60]}`", _EVENTS)
            continue
        try:
            found[_EVENTS[name]] = check_url(url, outbound)
        except StokerError as error:
            detail = f"`{name}`: {error}"
            errors.append(
                InputError(
                    input=f"subscriber.{name}", rule="address", value=shown(url), detail=detail
                )
            )
    return found


def _object(body: Mapping[str, Any], name: str, errors: list[InputError]) -> Mapping[str, Any]:
    found = body.get(name, {})
    if isinstance(found, dict):
        return found
    detail = f"`{name}` has to be a JSON object"
    errors.append(InputError(input=name, rule="type", limit="object", detail=detail))
    return {}


def _bare(
    pipeline: Pipeline, inputs: Mapping[str, Any], errors: list[InputError]
) -> dict[str, Any]:
    """Return the values of the inputs, taken out of `{"value": …}` where they are written so.

    What names a file stays as it is: whatever finds the file understands it.
    """
    params = {param.name: param for param in pipeline.params}
    found = {}
    for name, given in inputs.items():
        param = params.get(name)
        if param is not None and isinstance(given, dict) and param.type is not ParamType.PATH:
            value = _of_object(param, given, errors)
            if value is not None:
                found[name] = value
        else:
            found[name] = given
    return found


def _of_object(param: Param, given: Mapping[str, Any], errors: list[InputError]) -> Any:
    """Return the value of a qualified one; None, with the error noted, where it is none."""
    name = param.name
    if "href" in given:
        detail = f"input `{name}` is given by reference; this service takes values here"
        errors.append(InputError(input=name, rule="href", detail=detail))
        return None
    unknown = [word for word in given if word not in _OF_VALUE]
    if "value" not in given or unknown:
        said = f"`{unknown[0][:60]}`" if unknown else "no `value`"
        detail = f'input `{name}` is an object with {said}; write the value, or {{"value": …}}'
        errors.append(InputError(input=name, rule="type", detail=detail))
        return None
    stated = _stated_media(given)
    media = ("text/plain", "application/json")
    if stated is not None and not _fits(stated, media):
        detail = f"input `{name}` is of type `{str(stated)[:60]}`; it takes {', '.join(media)}"
        errors.append(
            InputError(
                input=name, rule="media", limit=list(media), value=shown(stated), detail=detail
            )
        )
        return None
    return given["value"]


def _stated_media(given: Mapping[str, Any]) -> Any:
    """Return the media type that a qualified value states, wherever the standard lets it do so."""
    for holder in (given, given.get("format"), given.get("schema")):
        if isinstance(holder, dict):
            for word in ("mediaType", "contentMediaType"):
                if word in holder:
                    return holder[word]
    return None


def _fits(stated: Any, media: tuple[str, ...]) -> bool:
    if not isinstance(stated, str):
        return False
    plain = stated.partition(";")[0].strip().lower()
    return any(plain == one or (one.endswith("/*") and plain.startswith(one[:-1])) for one in media)


def _modes(pipeline: Pipeline, body: Mapping[str, Any], errors: list[InputError]) -> dict[str, str]:
    """Return the transmission mode of each output that is wanted; all where none is named."""
    offered = {one.name: one for one in results_of(pipeline)}
    if "outputs" not in body:
        return dict.fromkeys(offered, "value")
    wanted = _object(body, "outputs", errors)
    modes = {}
    for name, given in wanted.items():
        if name not in offered:
            _add(errors, name, "unknown", f"there is no output `{name[:60]}`", offered)
            continue
        how = given if isinstance(given, dict) else None
        mode = "value" if how is None else how.get("transmissionMode", "value")
        form = {} if how is None else how.get("format", {})
        if how is None or mode not in _MODES or not isinstance(form, dict):
            detail = (
                f"output `{name}` is asked for by an object such as "
                '{"transmissionMode": "value"} or {"transmissionMode": "reference"}'
            )
            errors.append(InputError(input=name, rule="transmissionMode", detail=detail))
            continue
        _check_members(name, how, form, errors)
        media = media_of(pipeline, offered[name])
        stated = form.get("mediaType")
        if stated is not None and not _fits(stated, (media,)):
            detail = f"output `{name}` is of type `{media}`, and cannot be `{str(stated)[:60]}`"
            errors.append(InputError(input=name, rule="media", limit=media, detail=detail))
            continue
        modes[name] = mode
    return {name: modes[name] for name in offered if name in modes}


def _check_members(
    name: str, how: Mapping[str, Any], form: Mapping[str, Any], errors: list[InputError]
) -> None:
    for known, given in ((("transmissionMode", "format"), how), (_FORMAT, form)):
        for word in given:
            if word not in known:
                text = f"output `{name}` has no `{word[:60]}`"
                _add(errors, name, "unknown", text, known)


def shown(value: Any) -> Any:
    """Return a value as an error repeats it: short."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return text if len(text) <= 200 else f"{text[:200]}…"
    if value is None or isinstance(value, bool | int | float):
        return value
    return "an array" if isinstance(value, list) else "an object"


def _add(errors: list[InputError], name: str, rule: str, text: str, known: Any) -> None:
    hint = suggest(name, known)
    detail = f"{text}; {hint}" if hint else text
    errors.append(InputError(input=name[:60], rule=rule, detail=detail))
