"""Tables of values (rule D): rows as people and programs read them, and files that hold them."""
