"""What stands inside exception groups. Pure."""

from __future__ import annotations

from collections.abc import Iterator


def innermost(error: BaseException) -> BaseException:
    """Return the one error inside groups of one; a group of several stays a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield every error in a group of groups; one that is no group yields itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
