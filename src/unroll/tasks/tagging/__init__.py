"""Sequence tagging: a tag for each token."""
