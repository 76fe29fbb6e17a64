"""The end of a candidate's run from outside; by itself, so that a time limit needs nothing of the candidates."""


class Interrupted(BaseException):
    """What ends a candidate's run from outside, such as a time limit; no error of the file's own."""
