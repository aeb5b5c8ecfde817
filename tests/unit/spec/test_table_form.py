"""`columns`, `separator` and `params` of a table source: what is made of them, and what is wrong."""

import pytest

from stoker.model.source import TableForm
from unit.spec.test_feeds import source
from unit.spec.test_load import problems

HEAD = (
    '[pipelines.p]\nitems = "records"\n[pipelines.p.params]\n'
    'block = { required = true }\nomit = { type = "list" }\n[pipelines.p.steps.s]\nrun = "true"\n'
    "[pipelines.p.sources.x]\n"
)


def test_a_form_is_kept_in_the_version(tmp_path):
    text = 'table = "t"\ncolumns = ["B 1", "x"]\nseparator = " "\nparams.block = "B 1"'
    _, found = source(tmp_path, text)
    assert found.form == TableForm(columns=("B 1", "x"), separator=" ", titles={"block": "B 1"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('table = "t"\ncolumns = ["block", "omitt"]', "`omitt` resembles the parameter `omit`"),
        ('table = "t"\ncolumns = ["blok", "x"]', "no column holds the parameter `block`"),
        ('table = "t"\ncolumns = ["block", "x", "x"]', "there are two columns `x`"),
        ('table = "t"\ncolumns = []', "columns"),
        ('table = "t"\ncolumns = [" block"]', "columns"),
        ('table = "t"\nparams.blok = "x"', "there is no parameter `blok`"),
        ('table = "t"\ncolumns = ["block"]\nparams.block = "X"', "`X` is not one of the `columns`"),
        (
            'table = "t"\nparams.block = "X"\nparams.omit = "X"',
            "two parameters are in the column `X`",
        ),
        ('table = "t"\nparams.block = "omit"', "the column `omit` is that of the parameter `omit`"),
        ('table = "t"\nseparator = "a"', "'a' cannot separate the fields"),
        ('table = "t"\nseparator = "\\n"', "cannot separate the fields"),
        ('table = "t"\nseparator = ";;"', "separator"),
        ('command = "ls"\ncolumns = ["block"]', "`columns` is for a source with a `table`"),
        (
            'command = "ls"\nparams.block = "x"',
            "`params` is for a source with a `feed` or a `table`",
        ),
    ],
)
def test_what_is_wrong_with_a_form_is_named(tmp_path, text, said):
    assert any(said in line for line in problems(tmp_path, HEAD + text + "\n"))
