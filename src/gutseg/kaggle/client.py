"""The official kaggle command: asked, and its answers read.

Some of its failures end with status 0, so its words count. What it prints, and when, is from the
source of version 2.2.4 (Kaggle/kaggle-cli, kaggle/cli.py and kaggle/api/kaggle_api_extended.py).
"""

import logging
import re
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

from gutseg.constants import COMPETITION
from gutseg.kaggle.commands import last_line, run_command
from gutseg.kaggle.token import SETTINGS

log = logging.getLogger(__name__)

RULES = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"
# Lines that report a failure, where an answer has no other form.
REFUSED = re.compile(
    r"error|forbidden|unauthori[sz]ed|authentication required|not valid|could not|cannot|"
    r"not found|unsuccessful|unrecognized arguments|too many|no module named",
    re.I,
)
# Addresses and names of files may hold any word.
ADDRESS = re.compile(r"https?://\S+")
NEWS = re.compile(r"\s*(Starting upload|Upload successful|Output file|Kernel log|Warning: )", re.I)
LONGEST = 200  # characters of an answer that an error repeats
# While something is under way: seconds from question to question, hours until it is given up, and
# refusals in a row that may pass.
EVERY, HOURS, PASSING = 30.0, 24.0, 5


class Remedy(NamedTuple):
    """What to do about an answer that matches."""

    pattern: str
    advice: str
    # whether to ask again may help
    passing: bool = False


# The first that matches counts.
REMEDIES = (
    Remedy(
        r"authentication required|\b401\b|unauthori[sz]ed|invalid credentials",
        f"there is no valid token: kaggle auth login, or save one of {SETTINGS} as "
        "~/.kaggle/access_token",
    ),
    Remedy(
        r"no module named '?([\w.]+)",
        "the kaggle command is not completely installed: pip install --upgrade kaggle {}",
    ),
    Remedy(
        r"unrecognized arguments|invalid choice",
        "the kaggle command is too old: pip install --upgrade kaggle",
    ),
    Remedy(
        r"\b429\b|too many requests",
        "Kaggle wants fewer requests: repeat the command in some minutes, finished steps are kept",
        passing=True,
    ),
    Remedy(
        r"(accept|agree).*rules|rules.*(accept|agree)|not valid competition sources",
        f"accept the competition's rules on {RULES} (Late Submission), then repeat the command",
    ),
    Remedy(
        r"not valid dataset sources",
        "the kernel would run without its bundle: see on kaggle.com/datasets whether the dataset "
        "is there, then repeat the command",
    ),
    Remedy(
        r"not valid kernel sources",
        "the kernel would run without the output that it reads: see on kaggle.com/code whether "
        "that kernel is there, or build again with another --attach",
    ),
    Remedy(
        r"daily.*(limit|allowance)|submission limit|allowed to submit",
        "the submissions of today are used up: repeat the command tomorrow, finished steps are "
        "kept",
    ),
    Remedy(
        r"quota|maximum.*(session|batch|gpu)",
        "no GPU is free for you: stop a running session on kaggle.com or wait for next week's "
        "quota (kaggle quota), then repeat the command",
    ),
    Remedy(
        r"already in use|already exists|\b409\b|conflict",
        "this name is taken: build again with another --name",
    ),
    Remedy(
        r"unsuccessful|expired|incomplete",
        "a file did not get there: repeat the command",
    ),
    Remedy(
        r"\b403\b|forbidden|denied|cannot access",
        "Kaggle does not allow it to this account: accept the competition's rules on "
        f"{RULES}, and build with --user as in kaggle.com/<user>",
    ),
    Remedy(
        r"\b5\d\d\b (server|internal|bad gateway|service)|service unavailable|bad gateway",
        "Kaggle is not well: repeat the command later, finished steps are kept",
        passing=True,
    ),
    Remedy(
        r"connection|timed out|max retries|name resolution|unreachable",
        "Kaggle cannot be reached: repeat the command, finished steps are kept",
        passing=True,
    ),
)


class Refusal(ValueError):
    """The kaggle command did not do what it was asked."""

    def __init__(self, words: tuple[str, ...], said: str) -> None:
        """words: of the command; said: what it printed, without addresses."""
        self.said = said
        remedy, advice = _remedy(said)
        # whether to ask again may help
        self.passing = remedy is not None and remedy.passing
        super().__init__(f"kaggle {' '.join(words[:2])} failed: {_reason(said)}; {advice}")


def _remedy(said: str) -> tuple[Remedy | None, str]:
    for remedy in REMEDIES:
        if match := re.search(remedy.pattern, said, re.I):
            return remedy, remedy.advice.format(*match.groups())
    return None, "repeat the command, finished steps are kept; if it stays, see kaggle.com"


def _reason(said: str) -> str:
    lines = [line for line in said.splitlines() if REFUSED.search(line)]
    is_crash = "Traceback (most recent" in said
    text = " ".join((last_line(said) if is_crash or not lines else lines[0]).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def need_command() -> None:
    """Raise FileNotFoundError where there is no kaggle command."""
    if not shutil.which("kaggle"):
        raise FileNotFoundError("the kaggle command is not installed; pip install kaggle")


def ask(*words: str, expect: str = "", any_words: bool = False) -> str:
    """Run the kaggle command; return what it printed, or raise Refusal.

    expect: a pattern that a good answer holds. any_words: the answer may speak of errors, as that
    of a question for a status does.
    """
    done = run_command(["kaggle", *words])
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    said = "\n".join(ADDRESS.sub("", line) for line in lines if not NEWS.match(line))
    is_refused = not any_words and REFUSED.search(said)
    if done.returncode or is_refused or not re.search(expect, said):
        raise Refusal(words, said)
    return said


def wait_for(question: Callable[[], str | None], what: str) -> str:
    """Ask until there is an answer; what: says what is still under way when it takes too long."""
    deadline, refused = time.monotonic() + HOURS * 3600, 0
    while True:
        try:
            answer, refused = question(), 0
        except Refusal as refusal:
            answer, refused = None, refused + 1
            if not refusal.passing or refused == PASSING:
                raise
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise ValueError(f"{what} after {HOURS:.0f} hours; repeat the command to wait on")
        pause()


def pause() -> None:
    """Let Kaggle work."""
    time.sleep(EVERY)
