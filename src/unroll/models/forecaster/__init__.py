"""The forecaster: its strategies, its distributions and its options."""
