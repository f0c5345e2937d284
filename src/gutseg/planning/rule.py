"""What a row of the planner's tables is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gutseg.planning.fingerprint import Fingerprint

# in place of a value: the default stays, and only the reason is written
DEFAULT = object()


def always(_: Fingerprint) -> bool:
    """The condition of a row that holds for all data."""
    return True


@dataclass(frozen=True)
class Rule:
    """One row: of the rows of a key, the first whose condition holds decides."""

    # of the config, with dots
    key: str
    when: Callable[[Fingerprint], bool]
    # as YAML has it; DEFAULT writes nothing but the reason
    value: Callable[[Fingerprint], Any] | Any
    # one sentence with what was found, and where the choice was measured or what it follows
    why: Callable[[Fingerprint], str] | str
