"""What a person can put right: shown as one line, never as a traceback."""


class UserError(Exception):
    """A wrong name, a wrong value, a folder that cannot be written: says what to do about it."""


class Interrupted(Exception):
    """The run was stopped from outside (Ctrl-C, SIGTERM); what was finished is kept."""
