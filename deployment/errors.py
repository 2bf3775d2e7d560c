"""What may go wrong, each with a message of one line that says what to do."""


class DeploymentError(Exception):
    """A command could not be carried out."""


class UsageError(DeploymentError):
    """The caller asked for something that makes no sense."""
