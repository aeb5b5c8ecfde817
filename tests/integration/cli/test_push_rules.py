"""A path that a person pushes is checked and read as one that a source finds."""

TOML = """
[pipelines.p]
extract = "headers:read"
[pipelines.p.validate]
min_size = 3
[pipelines.p.steps.s]
run = "echo {meta.first} > {out.o}"
outputs.o = "out/{key}"
"""


def test_what_is_pushed_is_checked_and_read_once(lab):
    lab.write("stoker.toml", TOML)
    lab.write(
        "headers.py",
        "def read(path):\n"
        "    open('looked', 'a').write(path + '\\n')\n"
        "    return {'first': open(path).read()[0]}\n",
    )
    for name, text in {"a": "alpha", "b": "beta", "short": "x"}.items():
        lab.write(name, text)
    pushed = lab("push", "p", "a", "b", "short", "--json").json
    assert (pushed["registered"], pushed["quarantined"]) == (2, 1)
    again = lab("push", "p", "a", "b", "short", "--json").json
    assert (again["known"], again["registered"]) == (3, 0)
    assert len((lab.folder / "looked").read_text().splitlines()) == 2
    lab("run", "p", code=1)
    assert (lab.folder / "out" / "a").read_text() == "a\n"
    lab.write("short", "long enough")
    assert lab("push", "p", "short", "--json").json["registered"] == 1
    lab("run", "p")
    assert (lab.folder / "out" / "short").read_text() == "l\n"
