"""Classification and regression of sequences."""
