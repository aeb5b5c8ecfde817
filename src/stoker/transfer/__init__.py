"""Copying a file between this host and another, so that what arrives is proven to be what was sent.

It stands beside `work` and knows nothing of the store: a transfer is an ordinary step of a pipeline.
"""
