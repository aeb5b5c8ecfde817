"""What holds for every test: Hypothesis has no deadline of its own, pytest's timeout is the limit."""

from hypothesis import settings

settings.register_profile("stoker", deadline=None, print_blob=True)
settings.load_profile("stoker")
