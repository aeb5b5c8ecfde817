"""JSON Schemas of the documents of OGC API - Processes - Part 1, 1.0 (OGC 18-062r2).

Written from the demands of the standard, as its own files may not be copied here: the members that it
requires, their types, and the values of its enumerations. Members that it does not name are allowed.
"""

TEXT = {"type": "string"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
LINK = {
    "type": "object",
    "required": ["href"],
    "properties": {
        "href": TEXT,
        "rel": TEXT,
        "type": TEXT,
        "hreflang": TEXT,
        "title": TEXT,
    },
}
LINKS = {"type": "array", "items": LINK}


def _object(required, **properties):
    return {"type": "object", "required": required.split(), "properties": properties}


LANDING_PAGE = _object("links", title=TEXT, description=TEXT, links=LINKS)
CONF_CLASSES = _object("conformsTo", conformsTo={"type": "array", "items": TEXT})
_SUMMARY = {
    "id": TEXT,
    "version": TEXT,
    "title": TEXT,
    "description": TEXT,
    "jobControlOptions": {
        "type": "array",
        "items": {"enum": ["sync-execute", "async-execute", "dismiss"]},
    },
    "outputTransmission": {"type": "array", "items": {"enum": ["value", "reference"]}},
    "links": LINKS,
}
PROCESS_LIST = _object(
    "processes links",
    processes={"type": "array", "items": _object("id version", **_SUMMARY)},
    links=LINKS,
)
_INPUT = _object(
    "schema",
    title=TEXT,
    description=TEXT,
    minOccurs={"type": "integer", "minimum": 0},
    maxOccurs={"anyOf": [{"type": "integer", "minimum": 1}, {"const": "unbounded"}]},
    schema={"type": "object"},
)
_OUTPUT = _object("schema", title=TEXT, description=TEXT, schema={"type": "object"})
PROCESS = _object(
    "id version inputs outputs",
    **_SUMMARY,
    inputs={"type": "object", "additionalProperties": _INPUT},
    outputs={"type": "object", "additionalProperties": _OUTPUT},
)
STATUS_INFO = _object(
    "jobID status type",
    processID=TEXT,
    type={"enum": ["process"]},
    jobID=TEXT,
    status={"enum": ["accepted", "running", "successful", "failed", "dismissed"]},
    message=TEXT,
    created=TIME,
    started=TIME,
    finished=TIME,
    updated=TIME,
    progress={"type": "integer", "minimum": 0, "maximum": 100},
    links=LINKS,
)
JOB_LIST = _object("jobs links", jobs={"type": "array", "items": STATUS_INFO}, links=LINKS)
EXCEPTION = _object(
    "type", type=TEXT, title=TEXT, status={"type": "integer"}, detail=TEXT, instance=TEXT
)
_VALUE = {
    "anyOf": [
        {"type": ["string", "number", "boolean", "array"]},
        _object("value", value={}, mediaType=TEXT, encoding=TEXT),
        LINK,
    ]
}
RESULTS = {"type": "object", "additionalProperties": _VALUE}
