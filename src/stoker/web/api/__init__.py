"""`/api/v1`: the command line's words, selections and JSON, over HTTP."""

from stoker.web.api.app import make_api

__all__ = ["make_api"]
