"""`stoker.toml` as values of the model: read, checked, every problem located by its line."""
