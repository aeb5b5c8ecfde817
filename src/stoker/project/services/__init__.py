"""Services: the loops that run beside a worker, each a row with its start, its stop and its health."""
