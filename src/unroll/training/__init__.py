"""Training: options in, a trained model, its checkpoints and its history out."""
