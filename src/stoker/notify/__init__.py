"""Delivering messages: by mail, by a command, by whatever service Apprise knows.

It stands beside `work` and knows nothing of the store.
"""
