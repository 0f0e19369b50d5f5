"""How a build fails: with a sentence for the person who typed `make`."""


class BuildError(Exception):
    """The message says what is missing or wrong and, where known, the command that helps."""
