"""Bad input, told in one line."""


class UsageError(Exception):
    """Something a user asked for can't be done as asked.

    Its text is one line that names the key, the value and what would be right; the commands print it and exit with 2.
    """
