"""Tokenize and detokenize text, read documents, encode tagged sentences."""
