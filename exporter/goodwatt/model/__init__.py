"""Nouns: frozen, slotted records of readings, configuration, ledger and snapshot. No behaviour, no I/O."""
