"""Verbs: pure functions over the nouns in `model`. Time is always an argument."""
