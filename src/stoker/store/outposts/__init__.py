"""Outposts: which there are, when each was last heard of, and what is out there."""
