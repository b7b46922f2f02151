"""Bad input, told in one line."""


class UsageError(Exception):
    """Something a user asked for can't be done as asked.

    Its text is one line that names the key, the value and what would be right; the commands print it and exit with 2.
    """


class Refused(SystemExit):
    """Bad input, told where Hydra would turn an exception into a warning or a log of its own; ends the program with 2.

    Attributes:
        error: what is to be told.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(2)
        self.error = error
