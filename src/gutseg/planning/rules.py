"""From a fingerprint to choices: the tables of rules, read from top to bottom."""

from dataclasses import dataclass
from typing import Any

from gutseg.planning.fingerprint import Fingerprint
from gutseg.planning.input_rules import INPUT_RULES
from gutseg.planning.loop_rules import LOOP_RULES
from gutseg.planning.model_rules import MODEL_RULES
from gutseg.planning.rule import DEFAULT, Rule

RULES: tuple[Rule, ...] = (*INPUT_RULES, *MODEL_RULES, *LOOP_RULES)


@dataclass(frozen=True)
class Choice:
    """A key of a config, its value (DEFAULT: it is not written) and the reason."""

    key: str
    value: Any
    why: str

    @property
    def is_default(self) -> bool:
        """Whether the default stays."""
        return self.value is DEFAULT


def decide(f: Fingerprint) -> list[Choice]:
    """Return what the rules choose, in their order: of each key the first row that applies."""
    found: dict[str, Choice] = {}
    for rule in RULES:
        if rule.key not in found and rule.when(f):
            value = rule.value(f) if callable(rule.value) else rule.value
            why = rule.why(f) if callable(rule.why) else rule.why
            found[rule.key] = Choice(rule.key, value, why)
    return list(found.values())
