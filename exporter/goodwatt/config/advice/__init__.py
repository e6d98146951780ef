"""Advice for `goodwatt check` about settings that are legal but probably not intended."""
