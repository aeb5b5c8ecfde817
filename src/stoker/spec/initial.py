"""The file that `stoker init` writes: small, commented, and working as it is."""

import json

_TEXT = """\
# A project of Stoker: which data goes through which commands.
# `stoker check` finds mistakes in this file; `stoker run` does the work.

[project]
name = {name}

# A pipeline takes every item (here: every file) through its steps.
[pipelines.first]
title = "A first pipeline: count the lines of text files and add it up"

# Where the items come from. Add others by `stoker push first FILE…`.
[pipelines.first.sources.data]
folder = "data"
glob = "**/*"

# A step runs one command for each item, in a folder of its own that is wiped afterwards.
# What it writes to {{out.NAME}} is published at the path given in `outputs`, whole or not at all.
[pipelines.first.steps.count]
run = "wc -l < {{item}} > {{out.lines}}"
outputs.lines = "results/{{key}}.lines"
timeout = "10m"

# This one runs when `count` is done, because it takes what `count` made.
[pipelines.first.steps.describe]
run = '''
lines=$(cat {{in.count.lines}})
echo "{{name}} has $lines lines" > {{out.text}}
'''
outputs.text = "results/{{key}}.txt"
retries = 1
"""


def initial_text(name: str) -> str:
    """Return the text of a first `stoker.toml` for a project called `name`."""
    return _TEXT.format(name=json.dumps(name or "project", ensure_ascii=True))
