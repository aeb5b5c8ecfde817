"""The pages that show how everything is going on, and from which people repair it.

They read by the project's verbs and change by them, as the command line does: from tallies and in
pages that begin behind a row. No page counts rows, or asks for all of them.
"""
