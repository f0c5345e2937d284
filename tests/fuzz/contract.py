"""What every verb owes its user, checked on one finished case."""

import hashlib
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# Words of a library or of the interpreter that no user should read.
LEAKS = re.compile(
    r"Traceback|weights_only|pydantic|<class '|object at 0x|Error\(s\) in loading|RuntimeError|"
    r"_ctypes|errno|File \"/|site-packages|enforce fail|DefaultCPUAllocator"
)
LONGEST = 1500  # characters of a message
LINES = 14
# Files that hold a copy or the hash of an input differ where a harmless byte of it does.
COPIES = ("meta.json", "made_with.json", "built/bundle/runs/*/*/*", "exported/*", "model/*")
SHOWN = 5  # of many paths with one problem
Tree = dict[str, tuple]


@dataclass(frozen=True)
class Reads:
    """Files that a command reads.

    pattern: a glob in the world. kind: a row of KINDS. remedy: a broken one is made again.
    without: mutators after which the command is right to write it as if it had never been.
    """

    pattern: str
    kind: str
    remedy: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """A line that works in the untouched world.

    writes: globs of what it may write or remove. keeps: of these, what a failure may leave
    other than it was: complete parts of work that can go on. bad: values by their place in
    words that must be refused. says: other words by which a message may name the place. always:
    the command must succeed whatever the images hold. skips: it may go on without what is
    broken, and then says so.
    """

    words: tuple[str, ...]
    reads: tuple[Reads, ...]
    writes: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    bad: dict[int, tuple[str, ...]] = field(default_factory=dict)
    says: dict[int, tuple[str, ...]] = field(default_factory=dict)
    setup: Callable[[], None] | None = None
    always: bool = False
    skips: bool = False

    @property
    def verb(self) -> str:
        """What the message starts with."""
        return self.words[0]


@dataclass(frozen=True)
class Outcome:
    """What a run left: status (negative: a signal, None: the time was up), words, files."""

    status: int | None
    stdout: str
    stderr: str
    seconds: float
    root: Path = Path()
    changed: dict[str, str | None] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """What the untouched world gives; only what two runs agree on."""

    stdout: str | None
    changed: dict[str, str | None]
    varying: frozenset[str]

    @classmethod
    def of(cls, one: Outcome, two: Outcome) -> "Reference":
        """Compare two runs."""
        if one.status != two.status or one.status not in (0, 2):
            raise RuntimeError(f"the untouched world ends with {one.status}: {one.stderr[-3000:]}")
        varying = {path for path, digest in one.changed.items() if two.changed.get(path) != digest}
        same = {path: digest for path, digest in one.changed.items() if path not in varying}
        return cls(one.stdout if one.stdout == two.stdout else None, same, frozenset(varying))


def tree(root: Path) -> Tree:
    """Return what identifies every path below root: cheap, contents unread."""
    found: Tree = {}
    for path in root.rglob("*"):
        facts = path.lstat()
        is_folder = stat.S_ISDIR(facts.st_mode)
        own = ("folder",) if is_folder else (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        found[path.relative_to(root).as_posix()] = own
    return found


def changes(root: Path, before: Tree) -> dict[str, str | None]:
    """Return the digests of the paths that differ from before.

    A file written again with the bytes it had in the untouched world still counts as changed;
    its digest shows that it is the same.
    """
    after = tree(root)
    found: dict[str, str | None] = {path: None for path in before if path not in after}
    for path, facts in after.items():
        if before.get(path) != facts:
            found[path] = digest(root / path)
    return found


def digest(path: Path) -> str:
    """Return a name for what stands at path."""
    if path.is_dir():
        return "folder"
    if not path.is_file():
        return "nothing" if not path.exists() else "special"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def message(outcome: Outcome, verb: str) -> str | None:
    """Return the error as the user reads it, or None when there is none."""
    start = outcome.stderr.rfind(f"gutseg {verb}: ")
    if start >= 0:
        return outcome.stderr[start:].strip()
    if outcome.stderr.lstrip().startswith("Usage: "):  # of the command line's own parser
        return outcome.stderr[outcome.stderr.index("Error") :].strip()
    return None


@dataclass(frozen=True)
class Expected:
    """What a case asks for. names: words of which the message must hold one."""

    command: Command
    verdict: str
    names: tuple[str, ...]


def check(expected: Expected, outcome: Outcome, reference: Callable[[], Reference]) -> list[str]:
    """Return what is wrong with an outcome; nothing when the contract holds.

    reference: makes what the outcome is compared with, where it comes to that.
    """
    wrong = []
    if outcome.status not in (0, 2):
        last = outcome.stderr.strip().splitlines()[-1:] or ["(nothing on stderr)"]
        ended = "no end" if outcome.status is None else f"status {outcome.status}"
        wrong.append(f"{ended}: {last[0][:300]}")
    if outcome.status == 2:
        wrong += _failed(expected, outcome, reference)
    if outcome.status == 0:
        wrong += _succeeded(expected, outcome, reference)
    if "Traceback" in outcome.stderr and outcome.status in (0, 2):
        wrong.append("a traceback on stderr")
    temporary = [path for path in outcome.changed if ".tmp" in path and outcome.changed[path]]
    if temporary or outcome.leftovers:
        wrong.append(f"temporary files stay: {', '.join(temporary + outcome.leftovers)}")
    return wrong


def _failed(expected: Expected, outcome: Outcome, reference: Callable[[], Reference]) -> list[str]:
    wrong = []
    if expected.verdict == "always":
        wrong.append("must go on whatever the images hold")
    text = message(outcome, expected.command.verb)
    if text is None:
        return [*wrong, f"no line `gutseg {expected.command.verb}: ...`"]
    if not any(name and name in text for name in expected.names):
        wrong.append(f"names none of {', '.join(map(repr, expected.names))}")
    if leak := LEAKS.search(text):
        wrong.append(f"a library speaks: {leak[0]!r}")
    if len(text) > LONGEST or text.count("\n") >= LINES:
        wrong.append(f"{len(text)} characters in {text.count(chr(10)) + 1} lines")
    for path, now in outcome.changed.items():
        if now is not None and now == reference().changed.get(path):
            continue  # a complete part of the work
        may_vary = now is None or path in reference().varying or _is_copy(path)
        if _within(path, expected.command.keeps) and may_vary:
            continue
        wrong.append(f"a failure {'removed' if now is None else 'wrote'} {path}")
    return wrong


def _succeeded(
    expected: Expected, outcome: Outcome, reference: Callable[[], Reference]
) -> list[str]:
    if expected.verdict == "fail":
        return ["success on wrong input"]
    wrong = []
    strange = [path for path in outcome.changed if not _within(path, expected.command.writes)]
    if expected.verdict == "same":  # a link is followed to where the file was moved
        strange = [path for path in strange if not Path(path).name.startswith("moved-")]
    if strange:
        wrong.append(f"changed {len(strange)} that are no outputs: {', '.join(strange[:SHOWN])}")
    if expected.verdict == "skip" and not _named(expected, outcome):
        wrong.append("success without a word about what is broken")
    if expected.verdict in ("same", "remade"):
        wrong += _differences(outcome, reference())
    if expected.verdict == "same" and reference().stdout not in (None, outcome.stdout):
        then, now = reference().stdout[-300:], outcome.stdout[-300:]
        wrong.append(f"prints {now!r} instead of {then!r}")
    if expected.verdict == "always" and outcome.stdout != reference().stdout:
        wrong.append("prints something else than on good images")
    return wrong


def _differences(outcome: Outcome, reference: Reference) -> list[str]:
    wrong = []
    for path, digest_then in reference.changed.items():
        if digest(outcome.root / path) != digest_then and not _is_copy(path):
            wrong.append(f"{path} is not what the untouched world gives")
    for path in reference.varying:
        if not (outcome.root / path).exists():
            wrong.append(f"{path} is missing")
    return wrong


def _is_copy(path: str) -> bool:
    return any(Path(path).match(pattern) for pattern in COPIES)


def _named(expected: Expected, outcome: Outcome) -> bool:
    said = outcome.stderr + outcome.stdout
    return any(name in said for name in expected.names)


def _within(path: str, globs: tuple[str, ...]) -> bool:
    """Whether path is one of the outputs, below one, or a folder on the way to one."""
    return any(
        path == place or path.startswith(f"{place}/") or place.startswith(f"{path}/")
        for place in globs
    )
