"""Learned durations, the order that follows from them, and the time still to go."""
