"""Pairs of texts: a source, and one or several targets."""
