"""Batch systems and their pilots, as the store has them: what was asked for, and what became of it."""
