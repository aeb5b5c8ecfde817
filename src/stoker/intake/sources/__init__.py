"""The kinds of sources: each finds items and knows which of them are complete."""
