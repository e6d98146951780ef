"""Verbs: pure functions over the nouns. Time is always an argument."""
