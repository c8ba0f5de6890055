"""The one exception that this package lets out: a sentence for a person, with the mend in it."""


class ClusterError(Exception):
    """What was wrong, where, and what to do. The command line prints it without a stack trace."""
