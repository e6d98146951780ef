"""Checks that span several keys. Each finds every fault at once, with its line and what to write instead."""
