"""Outposts: how attempts go to a place without a store, run there, and their ends come back.

An outpost has a folder of files, its *spool*, and a way to run a command there. Each *visit* is one
bounded command from the store's side. At the near end is `visit`, at the far end `serve`; in
between are JSON lines (`lines`). What runs there is the ordinary worker behind `FilesLink`.
"""
