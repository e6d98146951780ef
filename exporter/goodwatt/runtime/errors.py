"""How a command ends that cannot do its work."""


class CannotStart(Exception):
    """The command cannot do its work here; the message is one line that says what to do."""


class WrongUse(CannotStart):
    """A flag's value cannot be used."""
