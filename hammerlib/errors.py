"""The one error that a user's bad input raises."""

from __future__ import annotations

from numbers import Integral


class InputError(ValueError):
    """Input that cannot be used, told in one line: what it was, what is wrong, what helps.

    The command line prints it after ``error:`` and exits with code 2.

    Parameters
    ----------
    field : str
        Name of the parameter, column or file that is wrong.
    value : object
        What was found there; long values are shortened to 120 characters.
    problem : str
        What is wrong with it.
    remedy : str
        What the user can do.

    Examples
    --------
    >>> str(InputError("group_size", 0, "must be at least 1", "set group_size: 8"))
    'group_size = 0: must be at least 1; set group_size: 8'
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        self.field, self.value, self.problem, self.remedy = field, value, problem, remedy
        shown = repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        super().__init__(f"{field} = {shown}: {problem}; {remedy}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str, str]]:
        """Rebuild from the four parts, so that the error crosses process borders whole."""
        return type(self), (self.field, self.value, self.problem, self.remedy)


def check_whole(field: str, value: object, least: int, remedy: str) -> int:
    """Return a whole number of at least `least`, or refuse what is given instead.

    Parameters
    ----------
    field : str
        Name for the error.
    value : object
        An int, also numpy's; True and 2.0 are none.
    least : int
        The smallest that is allowed.
    remedy : str
        What the user can do.

    Raises
    ------
    InputError
        No whole number, or one below `least`.

    Examples
    --------
    >>> check_whole("seed", 3, 0, "use seed=0")
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(field, value, "is no whole number", remedy)
    if value < least:
        raise InputError(field, value, f"must be at least {least}", remedy)
    return int(value)
