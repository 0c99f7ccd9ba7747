"""Recurrent sequence modelling for Python."""
