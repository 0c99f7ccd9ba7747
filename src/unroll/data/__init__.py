"""From files to batches: sources, text, series, labels, examples, batches. Import from the modules."""
