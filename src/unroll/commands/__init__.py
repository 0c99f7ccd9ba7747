"""The commands, one a file: each reads its arguments and calls what does the work."""
