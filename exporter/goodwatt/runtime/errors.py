"""How a command ends that cannot do its work."""


class StartupError(Exception):
    """The command cannot do its work here; the message is one line that says what to do."""


class UsageError(StartupError):
    """A flag's value cannot be used."""
