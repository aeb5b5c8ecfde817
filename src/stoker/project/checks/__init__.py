"""Checks of an installation: what may go wrong here, and what to do about it."""
