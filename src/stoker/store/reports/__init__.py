"""Reading for people and programs: lists, stories, reasons, failures by cause."""
