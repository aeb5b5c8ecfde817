"""Words that other tools use: what each is called here."""

import pytest

from unit.spec.test_load import problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('run = "cp {input} x"', "`{input}` is not a name of Stoker; here it is `{item}`"),
        ('run = "x {threads}"', "here it is `{cpus}`"),
        ('run = "x {wildcards.a}"', "here it is `{params.NAME}`"),
        (
            'run = "x"\ndepends_on = ["a"]',
            "`steps.s` has no key `depends_on`; here it is called `after`",
        ),
        ('run = "x"\nThreads = 4', "here it is called `cpus`"),
        ('cmd = "x"', "here it is called `run`"),
    ],
)
def test_a_word_of_another_tool_is_recognised(tmp_path, text, said):
    assert any(said in one for one in problems(tmp_path, f"[pipelines.p.steps.s]\n{text}\n"))
