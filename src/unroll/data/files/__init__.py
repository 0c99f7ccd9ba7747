"""Read files: find them, detect their format, and convert them to an Arrow file."""
