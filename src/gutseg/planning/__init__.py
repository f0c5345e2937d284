"""From what a data folder shows to a config, with the reason for every choice."""

from gutseg.planning.fingerprint import Fingerprint, Machine, fingerprint
from gutseg.planning.rules import Choice, decide
from gutseg.planning.writing import as_yaml, table

__all__ = ["Choice", "Fingerprint", "Machine", "as_yaml", "decide", "fingerprint", "table"]
