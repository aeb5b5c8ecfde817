"""Files from clients: received as they come, kept until submitted, and named by addresses."""
