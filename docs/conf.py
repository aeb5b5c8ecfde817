"""How Sphinx builds the documentation. `make docs` treats every warning as an error."""

import sys
from pathlib import Path

import stoker

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Stoker"
author = "The Stoker authors"
copyright = "The Stoker authors"  # noqa: A001 - Sphinx's name for it
release = version = stoker.__version__

extensions = [
    "myst_parser",
    "sphinx_copybutton",
    "generated_reference",
]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "reference/_generated"]
nitpicky = True

html_theme = "furo"
html_title = "Stoker"
html_static_path = ["_static"]
html_css_files = ["stoker.css"]
html_copy_source = False
html_show_sphinx = False

# A copied command comes without its prompt and without what it printed.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
