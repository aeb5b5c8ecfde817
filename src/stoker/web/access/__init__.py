"""Who asks, and what they may: identity, roles, requests of other sites' pages, signing in."""

from stoker.web.access.sign_in import RESOURCES

__all__ = ["RESOURCES"]
