"""Load data: files, text, series, labels, examples, batches. Import from the modules."""
