"""Recurrences run over time, as pure functions on tensors.

`call.py` says what can be asked, `backends.py` who can answer, `naive.py` and the folders of the
recurrences what the right answer is.
"""
