"""Odd files, configurations and values, and what must come of them: a right answer, or one true sentence."""
