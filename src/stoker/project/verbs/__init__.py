"""The verbs of a project, by what they are about, and how each finds its items."""
