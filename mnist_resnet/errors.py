"""Exceptions for bad user input, each with a one-line message."""


class UsageError(Exception):
    """Raised for invalid user input.

    The message is one line that names the key, the value and what would be right. The commands print it and exit with
    code 2.
    """


class EndedEarly(Exception):
    """Raised by a launcher that can't run the remaining jobs; the message is a line for the user."""


class Refused(SystemExit):
    """Ends the program with exit code 2 because of invalid user input.

    Needed inside Hydra's callbacks and tasks: Hydra would turn an ordinary exception there into a warning or a log
    entry of its own.

    Attributes:
        error: the exception whose message is shown to the user.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(2)
        self.error = error
