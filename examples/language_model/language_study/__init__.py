"""A character-level language model of Python's own help texts."""
