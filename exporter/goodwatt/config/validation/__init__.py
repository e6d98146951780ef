"""Checks that span several keys. Each finds every mistake at once, with its line and what to write instead."""
