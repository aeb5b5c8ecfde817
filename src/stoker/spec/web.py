"""What the file says of the web service, as values of the model, and what cannot be of it."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from stoker.model.offer import results_of
from stoker.model.pipeline import ItemKind, ParamType
from stoker.model.web import PipelineWeb, WebSettings
from stoker.spec.locations import absolute
from stoker.spec.params import BadValue, check_value
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.model.web import Result
    from stoker.spec.locate import Path
    from stoker.spec.validate import Findings
    from stoker.spec.web_keys import PipelineWebTable, WebTable

ITEM = "item"  # the input that is the item's own file
_HOST = re.compile(r"[A-Za-z0-9*?_-]+(\.[A-Za-z0-9*?_-]+)*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_OTHERS = ("authorization", "cookie", "host", "origin", "forwarded")  # headers with a meaning


def build_web(table: WebTable, folder: str, findings: Findings) -> WebSettings:
    """Return the settings of the service; `findings` gets what is wrong with them."""
    path: Path = ("web",)
    if table.user_header is not None and not table.trusted_proxies:
        message = "`user_header` is believed from `trusted_proxies` only, and there are none"
        hint = 'write for example `trusted_proxies = ["127.0.0.1"]`'
        findings.add((*path, "user_header"), message, hint)
    if table.user_header is not None:
        _check_header(table.user_header, (*path, "user_header"), findings)
    _each(table.origins, (*path, "origins"), findings, _origin_fault)
    _each(table.trusted_proxies, (*path, "trusted_proxies"), findings, _network_fault)
    _each(table.outbound, (*path, "outbound"), findings, _host_fault)
    return WebSettings(
        url=_url(table.url, (*path, "url"), findings),
        origins=tuple(origin.lower() for origin in table.origins),
        anonymous=table.anonymous,
        user_header=table.user_header,
        trusted_proxies=tuple(table.trusted_proxies),
        outbound=tuple(host.lower() for host in table.outbound),
        uploads=None if table.uploads is None else absolute(table.uploads, folder),
    )


def build_pipeline_web(table: PipelineWebTable, folder: str) -> PipelineWeb:
    """Return what the pipeline offers over HTTP, the example's file as an absolute path."""
    example = dict(table.example)
    if isinstance(example.get(ITEM), str):
        example[ITEM] = absolute(example[ITEM], folder)
    return PipelineWeb(
        public=table.public,
        wait_s=table.wait,
        example=example,
        max_open=table.max_open,
        per_minute=table.per_minute,
        max_upload_bytes=table.max_upload,
        keep_s=table.keep,
    )


def check_web(pipeline: Pipeline, findings: Findings) -> None:
    """Report inputs and results of the pipeline that could not be asked for over HTTP."""
    path: Path = ("pipelines", pipeline.name)
    is_record = pipeline.items is ItemKind.RECORDS
    if not is_record and any(param.name == ITEM for param in pipeline.params):
        message = f"`{ITEM}` is the file itself; no parameter can have its name"
        findings.add((*path, "params", ITEM), message, "call the parameter something else")
    for result in pipeline.results:
        _check_result(pipeline, result, (*path, "results", result.name), findings)
    if pipeline.web.example and not findings.has((*path, "params")):
        _check_example(pipeline, (*path, "web", "example"), findings)


def _check_result(pipeline: Pipeline, result: Result, path: Path, findings: Findings) -> None:
    steps = {step.name: step for step in pipeline.steps}
    step = steps.get(result.step)
    if step is None:
        message = f"`{result.of}` names `{result.step}`, which is not a step of this pipeline"
        findings.add(path, message, suggest(result.step, steps))
    elif not result.is_value:
        outputs = {output.name: output for output in step.outputs}
        if result.field not in outputs:
            message = f"step `{step.name}` has no output `{result.field}`"
            findings.add(path, message, suggest(result.field, outputs))
        elif outputs[result.field].temp:
            message = f"output `{result.field}` of `{step.name}` is `temp`, so nobody could get it"
            findings.add(path, message, "take `temp` out, or the result")


def _check_example(pipeline: Pipeline, path: Path, findings: Findings) -> None:
    """Report an example that the service itself would refuse."""
    example = pipeline.web.example
    params = {param.name: param for param in pipeline.params}
    is_record = pipeline.items is ItemKind.RECORDS
    for name, value in example.items():
        if name == ITEM and not is_record:
            if not isinstance(value, str) or not value:
                findings.add((*path, name), "`item` of an example is the path of a file")
        elif name not in params:
            message = f"the example names `{name}`, which is not a parameter of this pipeline"
            known = [*params, *([] if is_record else [ITEM])]
            findings.add((*path, name), message, suggest(name, known))
        else:
            try:
                check_value(params[name], value)
            except BadValue as error:
                findings.add((*path, name), f"`{name}` of the example {error}")
    needed = [] if is_record else [ITEM]
    needed += [name for name, param in params.items() if param.required]
    missing = [name for name in needed if name not in example]
    if missing:
        message = f"the example lacks `{missing[0]}`, without which nobody can submit it"
        findings.add(path, message)


def _check_header(name: str, path: Path, findings: Findings) -> None:
    if not _HEADER.fullmatch(name):
        findings.add(path, f"`{name}` is not the name of a header")
    elif name.lower() in _OTHERS or name.lower().startswith("x-forwarded"):
        message = (
            f"`{name}` has a meaning of its own; let the proxy send the name in another header"
        )
        findings.add(path, message)


def _each(values: list[str], path: Path, findings: Findings, fault_of: Any) -> None:
    for index, value in enumerate(values):
        fault = fault_of(value)
        if fault:
            message, hint = fault
            findings.add((*path, index), message, hint)


def _url(url: str | None, path: Path, findings: Findings) -> str | None:
    if url is None:
        return None
    parts = _split(url)
    if parts is None or parts.query or parts.fragment or not parts.path.isascii():
        message = f"`{url}` is not an address under which people can reach the service"
        findings.add(path, message, 'write it as `"https://lab.example.org/stoker/"`')
        return None
    return url.rstrip("/") + "/"


def _origin_fault(origin: str) -> tuple[str, str] | None:
    parts = _split(origin)
    if origin == "*":
        hint = "name the sites whose pages may call the service"
        return "`*` would let the pages of any web site call the service", hint
    if parts is None or parts.path or parts.query or parts.fragment:
        return (
            f"`{origin}` is not an origin",
            'write it as `"https://lab.example.org"`, without a path',
        )
    return None


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address of the web without a user's name; None if it is another."""
    is_plain = url.isprintable() and not set(url) & set(" \"'<>\\`{}|^")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    has_host = bool(parts.hostname) and port != 0
    is_web = parts.scheme in ("http", "https") and "@" not in parts.netloc
    return parts if is_plain and has_host and is_web else None


def _network_fault(network: str) -> tuple[str, str] | None:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        hint = 'write it as `"127.0.0.1"` or `"10.0.0.0/8"`'
        return f"`{network}` is not an address or a network", hint
    return None


def _host_fault(host: str) -> tuple[str, str] | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host):
            hint = 'write only its name, as `"data.example.org"` or `"*.example.org"`'
            return f"`{host}` is not the name of a host", hint
        if not host.strip("*?."):
            return f"`{host}` would be every host", "name those that you mean"
    return None


def find_web_cautions(pipeline: Pipeline) -> list[str]:
    """Return what strangers could do to a public pipeline, or would miss there."""
    web, found = pipeline.web, []
    is_record = pipeline.items is ItemKind.RECORDS
    file = None if is_record else web.example.get(ITEM)
    if file is not None and not os.path.exists(file):
        found.append(f"its example names `{file}`, which is not there")
    if not web.public:
        return found
    if not results_of(pipeline):
        found.append("it is `public`, and gives no result: its last steps publish no output")
    if web.max_open is None:
        found.append(
            "it is `public` without `max_open`: one client could fill the queue with its items"
        )
    has_paths = any(ParamType.PATH in (param.type, param.items) for param in pipeline.params)
    if (has_paths or not is_record) and web.max_upload_bytes is None:
        found.append("it is `public` without `max_upload`: one client could fill the disk")
    return found
