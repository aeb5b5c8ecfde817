"""Groups: which items of a pipeline belong together, and registering those that are complete."""
