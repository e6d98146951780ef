"""Advice for `goodwatt check` about settings that are valid but probably not intended."""
