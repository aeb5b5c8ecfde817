"""Shell texts with a place for a value, and what arrives there. Shared by tests of `spec.shell`."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stoker.model.id_types import AttemptId, ItemId, TaskId, VersionId
from stoker.model.pipeline import Output, Param, ParamType, Pipeline, Run, Step
from stoker.model.task import Claimed, Produced
from stoker.spec.template import compile_step, find_mistakes
from stoker.spec.values import Context

HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "a[$(touch pwned)]",
    "x=$(touch pwned)",
    "\n touch pwned\n",
    "$((a[$(touch pwned)]))",
    "${IFS}&touch pwned&",
    ") touch pwned ;;",
    "EOF\ntouch pwned\nEOF",
    "-n",
    "-va[$(touch pwned)]",
    "*",
    "?[a-z]",
    "~root",
    "{a,b}",
    "two  spaces ",
    "\ttab",
    "\\",
    "\\n",
    "a\\'b\"c",
    "$HOME",
    "!x",
    "#no comment",
    "",
    " ",
    "\n",
    "\n\n",
    "\x01\x7f",
    "caf\u00e9 \U0001f300",
    "\udcff\udcfe",
    "%s%n",
    "[[ -v x ]]",
    "-eq",
    "=",
    "(",
]

# Texts that print the value of {params.x} byte for byte, from every kind of place that may have one.
PRINTING = {
    "argument": "printf '%s' {params.x}",
    "inside double quotes": "printf '%s' \"{params.x}\"",
    "joined to text": "printf '%s' a{params.x}b | { IFS= read -r -d '' v || true; v=${v#a}; printf '%s' \"${v%b}\"; }",
    "joined inside quotes": 'v="<{params.x}>"; v=${v#<}; printf \'%s\' "${v%>}"',
    "assignment": "v={params.x}; printf '%s' \"$v\"",
    "assignment in front of a command": "V={params.x} printenv -0 V | tr -d '\\0'",
    "export": "export V={params.x}; printf '%s' \"$V\"",
    "local": "f() { local v={params.x}; printf '%s' \"$v\"; }; f",
    "append": "v=; v+={params.x}; printf '%s' \"$v\"",
    "array element": "a=({params.x} b); printf '%s' \"${a[0]}\"",
    "value of an array's element": "a[1]={params.x}; printf '%s' \"${a[1]}\"",
    "loop": "for v in {params.x}; do printf '%s' \"$v\"; done",
    "case subject": "case {params.x} in *) printf '%s' {params.x} ;; esac",
    "case pattern": "v={params.x}; case $v in {params.x}) printf '%s' \"$v\" ;; esac",
    "case pattern in quotes": "v=_{params.x}_; case $v in \"_{params.x}_\") printf '%s' {params.x} ;; esac",
    "inside a glob": "v=_{params.x}_; case $v in *{params.x}*) printf '%s' {params.x} ;; esac",
    "test for equality": "v={params.x}; if [[ $v == {params.x} ]]; then printf '%s' \"$v\"; fi",
    "test against a pattern": "v=_{params.x}_; [[ $v == _{params.x}* ]] && printf '%s' {params.x}",
    "regular expression": "v={params.x}; [[ $v =~ {params.x} ]] && printf '%s' \"$v\"",
    "old test": 'v={params.x}; [ "$v" = {params.x} ] && printf \'%s\' "$v"',
    "command substitution": "v=$(printf '%s' {params.x}; printf .); printf '%s' \"${v%.}\"",
    "substitution in quotes": "v=\"$(printf '%s' {params.x}; printf .)\"; printf '%s' \"${v%.}\"",
    "substitution, quoted twice": 'v="$(printf \'%s\' "{params.x}"; printf .)"; printf \'%s\' "${v%.}"',
    "process substitution": "cat <(printf '%s' {params.x})",
    "argument of another shell": "bash -c 'printf %s \"$1\"' bash {params.x}",
    "subshell": "( printf '%s' {params.x} )",
    "group": "{ printf '%s' {params.x}; } | cat",
    "function": "f() { printf '%s' \"$1\"; }; f {params.x}",
    "function's body": "f() { printf '%s' {params.x}; }; f",
    "brace expansion": "printf '%s' {{params.x},} | cat",
    "later line": "true\n\n# a comment\nif true; then\n  printf '%s' {params.x}\nfi",
    "after and": "true && printf '%s' {params.x} || false",
    "while": "while true; do printf '%s' {params.x}; break; done",
    "loop that counts": "for ((i = 0; i < 1; i++)); do printf '%s' {params.x}; done",
    "positional arguments set": "set -- {params.x}; printf '%s' \"$1\"",
    "negation": "! false {params.x}; printf '%s' {params.x}",
    "twice": "printf '%s' {params.x} > a; printf '%s' {params.x} > b; cmp a b; cat a",
}

# These end what they print with a line break, as bash does for them.
PRINTING_LINES = {
    "here-document": "cat <<EOF\n{params.x}\nEOF",
    "here-document, indented": "cat <<-EOF\n\t{params.x}\n\tEOF",
    "here-document into a file": "cat > f <<EOF\n{params.x}\nEOF\ncat f",
    "here-document into a pipe": "cat <<EOF | cat\n{params.x}\nEOF",
    "here-string": "cat <<< {params.x}",
    "here-string in quotes": 'cat <<< "{params.x}"',
}


@dataclass
class Ran:
    """What a text did."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    left: list[str] = field(default_factory=list)


def pipeline_of(text: str, **params: ParamType) -> Pipeline:
    before = Step(
        name="before",
        action=Run(text=":"),
        outputs=(
            Output(name="one", to="r/{key}"),
            Output(name="some", to="r/", pick="*", optional=True),
        ),
    )
    step = Step(
        name="main",
        action=Run(text=text),
        outputs=(Output(name="o", to="r/{key}.o"),),
        after=("before",),
        pools={"gpu": 1, "ram": 2},
    )
    kinds = {
        "x": ParamType.STRING,
        "l": ParamType.LIST,
        "n": ParamType.INTEGER,
        "f": ParamType.NUMBER,
    } | params
    declared = tuple(Param(name=name, type=kind) for name, kind in kinds.items())
    return Pipeline(name="p", folder="/project", steps=(before, step), params=declared)


def claimed_of(**changes: Any) -> Claimed:
    values: dict[str, Any] = {
        "attempt": AttemptId(bytes(range(16))),
        "task_id": TaskId(1),
        "item_id": ItemId(1),
        "version_id": VersionId(1),
        "pipeline": "p",
        "key": "a/b.tar.gz",
        "step": "main",
        "number": 1,
        "generation": 0,
        "tries": 0,
        "path": "/data/a/b.tar.gz",
        "params": {"x": "v", "l": ["1", "2"], "n": 3, "f": 1.5},
        "meta": {},
        "cpus": 2,
        "memory_bytes": 1024,
        "slots": {"gpu": ("g0",), "ram": ("0", "1")},
        "produced": {
            "before": Produced(
                attempt=AttemptId(b"1" * 16),
                outputs={"one": ("/r/one",), "some": ("/r/a", "/r/b")},
                values={"n": 7, "list": [1, "b"]},
            )
        },
    }
    return Claimed(**(values | changes))


def context_of(**changes: Any) -> Context:
    return Context(claimed=claimed_of(**changes), scratch="/scratch/1", out={"o": "/scratch/1/o"})


def mistakes_of(text: str) -> list[str]:
    pipeline = pipeline_of(text)
    return [finding.message for finding in find_mistakes(pipeline, pipeline.step("main"))]


def run_text(text: str, folder: Path, **params: Any) -> Ran:
    """Return what bash does with `text` in an empty folder, with these parameters."""
    pipeline = pipeline_of(text)
    plan = compile_step(pipeline, pipeline.step("main"))
    given = {"x": "v", "l": ["1", "2"], "n": 3, "f": 1.5} | params
    context = Context(claimed=claimed_of(params=given), scratch=str(folder), out={"o": "out"})
    command = plan.command(context)
    done = subprocess.run(
        [os.fsencode(word) for word in command.argv],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    left = sorted(path.name for path in folder.iterdir())
    return Ran(done.returncode, done.stdout, done.stderr, left)
