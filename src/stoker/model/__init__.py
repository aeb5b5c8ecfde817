"""What Stoker's words mean, as values and pure functions: no I/O, no clock, no SQL."""
