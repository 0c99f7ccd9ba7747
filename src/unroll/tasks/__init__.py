"""Tasks: what records look like, the loss, the metrics, and how outputs become records again."""
