"""The rows of the house stand as pyproject.toml says, and a module in the wrong row is found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]


def lint(folder, **environment):
    return subprocess.run(
        [*LINT, "--config", "pyproject.toml"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_layers_hold():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout
    assert "The layers of the house KEPT" in result.stdout


@pytest.mark.parametrize(
    "added",
    [
        {"model/states.py": "import stoker.store.tables"},
        {"work/slot.py": "import stoker.intake.folder"},
        {"work/slot.py": "import stoker.store.tables"},
        {"model/states.py": "import sqlalchemy"},
        {"errors.py": "import stoker.failpoints"},
        {"gadgets/__init__.py": ""},
    ],
    ids=[
        "upwards",
        "sideways",
        "past_the_link",
        "impure_model",
        "sideways_at_the_bottom",
        "unplaced",
    ],
)
def test_a_module_in_the_wrong_row_is_found(tmp_path, added):
    house = {
        "__init__.py": "",
        "cli/__init__.py": "",
        "cli/main.py": "import stoker.store.tables",
        "errors.py": "",
        "failpoints.py": "",
        "intake/__init__.py": "",
        "intake/sources/files.py": "",
        "model/__init__.py": "",
        "model/states.py": "",
        "store/__init__.py": "",
        "store/tables.py": "import stoker.model.states",
        "work/__init__.py": "",
        "work/slot.py": "",
        "work/store_link.py": "import stoker.store.tables",
    }
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())

    def build(files):
        for name, text in files.items():
            path = tmp_path / "src" / "stoker" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return lint(tmp_path, PYTHONPATH=str(tmp_path / "src"))

    assert (before := build(house)).returncode == 0, before.stdout
    assert (after := build(added)).returncode != 0, after.stdout
    assert "BROKEN" in after.stdout or "gadgets" in after.stdout + after.stderr
