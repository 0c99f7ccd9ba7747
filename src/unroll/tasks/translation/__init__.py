"""Text to text: translation, and whatever else turns one text into another."""
