"""From a seed to a case: which verb, which file or argument, which change."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.fuzz.commands import COMMANDS
from tests.fuzz.contract import Command, Expected, Reads
from tests.fuzz.kinds import KINDS, verdict
from tests.fuzz.mutators import DISASTERS, replace

# How often each verb's turn comes in a round of seeds: those that read more have more turns.
TURNS = {
    "train": 5,
    "prepare": 4,
    "score": 4,
    "predict": 3,
    "submit": 3,
    "validate": 1,
    "export": 1,
    "push-to-hub": 1,
    "kernel": 3,
    "bench": 3,
    "blend": 2,
    "split": 2,
    "phantom": 1,
    "demo": 1,
    "config": 1,
    "list": 1,
    "plan": 1,
}
KEYS = ("model.", "loss.", "data.", "optim.", "train.", "geometry.", "stack.", "augment.")
DRAWS = 50  # of a mutator that happens to leave a file as it is


@dataclass(frozen=True)
class Arm:
    """One thing that can go wrong with a command: a file that it reads, or a word of its line."""

    name: str
    reads: Reads | None = None
    place: int = 0

    @property
    def choices(self) -> list[str]:
        """Mutators of the file, or values of the word."""
        if self.reads:
            return [name for name in KINDS[self.reads.kind][0] if name not in self.reads.without]
        return list(COMMANDS[self.name].bad[self.place])


@dataclass(frozen=True)
class Case:
    """One command line in a world with one thing wrong; the same seed is the same case."""

    seed: int
    arm: Arm
    choice: str

    @property
    def command(self) -> Command:
        """The row of COMMANDS."""
        return COMMANDS[self.arm.name]

    @property
    def words(self) -> list[str]:
        """The command line."""
        words = list(self.command.words)
        if self.arm.place:
            words[self.arm.place] = self.choice
        return words

    @property
    def kind(self) -> str:
        """The kind of file that is wrong, or that it is an argument."""
        return self.arm.reads.kind if self.arm.reads else "argument"

    @property
    def title(self) -> str:
        """What the case does, for a person."""
        if not self.arm.reads:
            return f"{self.arm.name}: {shlex.join(self.words)[:300]!r}"
        return f"{self.arm.name}: {self.arm.reads.pattern} {self.choice}"

    def apply(self) -> Path | None:
        """Do it to the world in the working directory; return the file that was changed."""
        if self.arm.reads is None:
            return None
        rng = Random(self.seed)
        path = rng.choice(sorted(Path().glob(self.arm.reads.pattern)))
        step = KINDS[self.kind][0][self.choice]
        if self.choice in DISASTERS:
            step(path, rng)
            return path
        data = path.read_bytes()
        drawn = (step(data, rng) for _ in range(DRAWS))
        changed = next((other for other in drawn if other != data), None)
        if changed is None:
            raise RuntimeError(f"seed {self.seed}: {self.title}: leaves {path} as it was")
        replace(path, changed)
        return path

    def expected(self, touched: Path | None, root: Path) -> Expected:
        """Return what must come of it; root: the world that touched lies in, after the run."""
        if touched is None:
            return Expected(self.command, "fail", self._words_in_message())
        found = verdict(self.kind, self.choice, self.arm.reads.remedy)
        if found == "fail" and self.command.skips:
            found = "skip"
        if self.command.always:
            found = "always"
        # of a YAML, the key alone may be named once the file has been read, or a path it gives
        keys = (*KEYS, *_paths_in(root / touched)) if touched.suffix == ".yaml" else ()
        return Expected(self.command, found, (*_names(touched), *keys))

    def _words_in_message(self) -> tuple[str, ...]:
        """The value, the key of an override, or the option."""
        before = self.command.words[self.arm.place - 1]
        option = [before.removeprefix("--")] if before.startswith("--") else []
        key, _, value = self.choice.partition("=")
        others = self.command.says.get(self.arm.place, ())
        found = [self.choice.strip(), key.split(".")[0], value, *option, *others]
        # an empty path is the working directory, and the message says what is wrong there
        return tuple(word for word in found if word) if self.choice else ("gutseg", "Error")


def _paths_in(config: Path) -> tuple[str, ...]:
    """The caches, fold files and runs that the text of a config names, as it is now."""
    text = config.read_text(errors="replace") if config.is_file() else ""
    return tuple(re.findall(r"\b(?:cache|folds|folder|run|runs): *([^\s,{}\[\]]{3,})", text))


def _names(path: Path) -> tuple[str, ...]:
    """A message may name the file, or the slice, scan, fold or cell that it belongs to."""
    folders = [
        part for part in path.parts[:-1] if part.startswith(("case", "fold")) or "--" in part
    ]
    numbered = [folder.replace("fold", "fold ") for folder in folders]
    slice_number = path.name[:10] if path.name.startswith("slice_") else ""
    index = "of the cache" if path.name == "index.parquet" else ""
    found = (path.name, *folders[-1:], *numbered, slice_number, index)
    return tuple(name for name in found if name)


@cache
def _arms(verb: str) -> list[tuple[Arm, list[str]]]:
    """Return the arms of a verb, each with its choices in an order of its own."""
    found = []
    for name, command in COMMANDS.items():
        if command.verb == verb:
            found += [Arm(name, reads=reads) for reads in command.reads]
            found += [Arm(name, place=place) for place in command.bad]
    rng = Random(verb)
    rng.shuffle(found)
    return [(arm, rng.sample(arm.choices, len(arm.choices))) for arm in found]


@cache
def _round() -> list[str]:
    turns = [verb for verb, count in TURNS.items() for _ in range(count)]
    Random(0).shuffle(turns)
    return turns


def case(seed: int) -> Case:
    """Return a seed's case: in turn the verbs, of each in turn the arms, of each the choices."""
    order = _round()
    rounds, place = divmod(seed, len(order))
    verb = order[place]
    number = rounds * TURNS[verb] + order[:place].count(verb)
    arms = _arms(verb)
    turn, which = divmod(number, len(arms))
    arm, choices = arms[which]
    return Case(seed, arm, choices[turn % len(choices)])
