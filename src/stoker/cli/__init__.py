"""The command line: parses, calls the project's verbs, and shows what they return."""
