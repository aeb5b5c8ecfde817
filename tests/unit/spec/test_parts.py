"""Which files of an item the command of a step names."""

import pytest

from stoker.model.pipeline import Argv, Output, Pipeline, Python, Run, Step
from stoker.model.source import Source
from stoker.spec.parts import files_used

OUT = (Output(name="o", to="r/{item}"),)


@pytest.mark.parametrize(
    ("action", "more", "used"),
    [
        (Run(text="cat {item}"), {}, ("item",)),
        (Run(text="cat {in.a.n}"), {}, ()),
        (Run(text="echo {key} {name} {stem} {dir}"), {}, ()),
        (Run(text='cat "$STOKER_ITEM"'), {}, ("item",)),
        (Run(text="python -c 'os.environ[\"STOKER_ITEM\"]'"), {}, ("item",)),
        (Run(text="./script"), {}, ()),
        (Run(text="./script"), {"env": {"FILE": "{item}"}}, ("item",)),
        (Run(text="echo > {out.o}"), {"outputs": OUT}, ()),
        (Run(text="align {meta.r1} {meta.r2} {meta.run}"), {}, ("meta.r1", "meta.r2")),
        (Run(text="echo {{item}}"), {}, ()),
        (Argv(words=("cat", "{item}")), {}, ("item",)),
        (Argv(words=("cat", ("-f", "{item}"))), {}, ("item",)),
        (Argv(words=("cat", "{in.a.n}")), {}, ()),
        (Python(function="m:f"), {}, ("item",)),
        (Python(function="m:f"), {"after": ("a",)}, ()),
    ],
)
def test_files_that_a_command_names(action, more, used):
    step = Step(name="s", action=action, **more)
    source = Source(name="s", folder="/d", fields="{run}_{part}", parts={"r1": "R1", "r2": "R2"})
    pipeline = Pipeline(name="p", folder="/", steps=(step,), sources=(source,))
    assert files_used(pipeline, step) == used
