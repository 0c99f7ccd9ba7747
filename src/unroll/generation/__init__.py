"""Text from a language model: search, sampling, stopping, scoring."""
