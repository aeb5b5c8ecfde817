"""One host's worker: it claims tasks, runs attempts in scratch, publishes outputs, records ends."""
