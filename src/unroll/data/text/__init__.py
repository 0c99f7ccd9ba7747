"""Text to token ids and back, documents, tagged sentences."""
