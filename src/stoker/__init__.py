"""Stoker keeps machines fed with data: every item once, with a record of everything."""

__version__ = "0.1.0"
