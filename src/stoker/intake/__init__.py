"""How items come in: from paths, lists, tables and single records."""
