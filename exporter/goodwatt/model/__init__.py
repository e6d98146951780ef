"""Nouns: frozen, slotted records of what was read, what is configured and what is published. No behaviour, no I/O."""
