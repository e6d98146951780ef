"""The errors that end a command with one line for the user."""


class StartupError(Exception):
    """The command cannot do its work here; the message is one line that says what to do."""


class UsageError(StartupError):
    """A flag has an unusable value."""
