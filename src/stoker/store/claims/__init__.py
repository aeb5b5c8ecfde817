"""Taking tasks: which one a worker gets next, and what it has room for."""
