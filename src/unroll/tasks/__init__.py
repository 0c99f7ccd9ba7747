"""Tasks: read and encode records, define loss and metrics, and decode outputs."""
