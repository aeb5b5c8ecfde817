"""The web service: pipelines over HTTP, for programs and for people.

It owns no state: every answer comes from the store, and every change goes through a verb of the
project, in a thread. Nothing here may decide what a pipeline does.
"""
