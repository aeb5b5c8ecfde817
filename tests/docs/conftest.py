"""The pages about pages are tried in the browser that the pages' own tests use."""

from integration.web.conftest import chromium

__all__ = ["chromium"]
