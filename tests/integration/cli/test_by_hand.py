"""By hand, a step in a warm process does what it does in its process, without any record."""

import shutil
import subprocess
import sys

import pytest

import servers

FILES = {
    "f.m": "function v = f(task)\n"
    "  printf('%s: %s %s\\n', task.key, getenv('STOKER_STEP'), strjoin(task.params.words', '-'));\n"
    "  file = fopen(task.outputs.o, 'w'); fputs(file, task.values.one.said); fclose(file);\n"
    "  v = struct('n', numel(task.key));\nend\n",
    "f.R": "f <- function(task) {\n"
    "  cat(task$key, ': ', Sys.getenv('STOKER_STEP'), ' ', paste(task$params$words, collapse = '-'), '\\n', sep = '')\n"
    "  cat(task$values$one$said, file = task$outputs$o)\n"
    "  list(n = nchar(task$key))\n}\n",
    "f.py": "import json, os, sys\n"
    "for line in sys.stdin:\n"
    "    task = json.loads(line)\n"
    "    print(f\"{task['key']}: {os.environ['STOKER_STEP']} {'-'.join(task['params']['words'])}\")\n"
    "    open(task['outputs']['o'], 'w').write(task['values']['one']['said'])\n"
    "    print(json.dumps({'stoker': 'done', 'values': {'n': len(task['key'])}}), flush=True)\n",
}
WAYS = {
    "octave": ('octave = "f"', '{"n":4}'),
    "r": ('r = "f.R:f"', '{"n":4}'),
    "persistent": (
        f'argv = ["{sys.executable}", "f.py"]\npersistent = true\nenv = {{ STOKER_STEP = "two" }}',
        '{"stoker": "done", "values": {"n": 4}}',
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_by_hand_it_does_what_its_process_does(lab, way):
    program = {"octave": "octave", "r": "Rscript"}.get(way, "sh")
    if shutil.which(program) is None:
        servers.unavailable(f"no {program} is installed: nothing was tested with it")
    action, shown = WAYS[way]
    lab.write(
        "stoker.toml",
        f"""
        [pipelines.p]
        items = "records"
        [pipelines.p.params]
        words = {{ type = "list", items = "string", default = ["a", "b"] }}
        [pipelines.p.steps.one]
        run = '''echo '{{"said": "it'"'"'s é"}}' > "$STOKER_VALUES"'''
        [pipelines.p.steps.two]
        after = ["one"]
        outputs.o = "out/{{key}}"
        {action}
        """,
    )
    for name, text in FILES.items():
        lab.write(name, text)
    assert "warning" not in lab("check").err
    lab("run", "p", "it's")
    said = lab("logs", "it's", "two").out
    assert said == "it's: two a-b\n"
    assert (lab.folder / "out" / "it's").read_text() == "it's é"
    script = lab("show", "it's", "two", "--as-command").out
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout == f"{said}{shown}\n"
    assert lab("shell", "it's", "two", "--command", 'bash "$STOKER_COMMAND"').out == done.stdout
    assert len(lab("attempts", "--json").out.splitlines()) == 2
