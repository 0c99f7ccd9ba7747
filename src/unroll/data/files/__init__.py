"""Files to rows: which files, in which format, and the Arrow file that they become."""
