"""Items coming in: registered with their tasks, what sources know, quarantine."""
