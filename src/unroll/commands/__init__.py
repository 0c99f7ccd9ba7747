"""Commands of the command line, one per file: each parses its arguments and calls the library."""
