"""Forgetting by age and state: items, attempts, logs, the journal's details."""
