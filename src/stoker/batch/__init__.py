"""Batch systems: submitting pilots, asking how they stand, and deciding how many there are to be."""
