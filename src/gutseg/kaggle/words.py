"""The command lines of a push: what the kaggle command is asked, in order."""

from dataclasses import dataclass
from pathlib import Path

import gutseg
from gutseg.constants import COMPETITION
from gutseg.files import SUBMISSION
from gutseg.kaggle.metadata import WRITES, Kind

Words = tuple[str, ...]


@dataclass(frozen=True)
class Lines:
    """The words after `kaggle`, for one build."""

    folder: Path
    # OWNER/SLUG of the bundle's dataset and of the kernel
    dataset: str
    kernel: str
    # of the submission; "" submits none
    message: str
    kind: Kind = "infer"

    @property
    def output(self) -> Path:
        """Where the log and the output of the kernel are fetched to."""
        return self.folder / "output"

    @property
    def ask_dataset(self) -> Words:
        """Its status and the number of its version."""
        return ("datasets", "status", self.dataset, "--format", "json")

    @property
    def create(self) -> Words:
        """Make the dataset."""
        return ("datasets", "create", "-p", str(self.folder / "bundle"), "--dir-mode", "zip")

    @property
    def renew(self) -> Words:
        """Make a version of it."""
        bundle = ("-p", str(self.folder / "bundle"), "--dir-mode", "zip")
        return ("datasets", "version", *bundle, "-m", f"gutseg {gutseg.__version__}")

    @property
    def start(self) -> Words:
        """Make a version of the kernel, which runs it."""
        return ("kernels", "push", "-p", str(self.folder / self.kind))

    @property
    def ask_kernel(self) -> Words:
        """Whether it runs."""
        return ("kernels", "status", self.kernel)

    @property
    def fetch(self) -> Words:
        """Its log and what it wrote."""
        return ("kernels", "output", self.kernel, "-p", str(self.output))

    def submit(self, version: str) -> Words:
        """Have a version run on the hidden test."""
        kernel = ("-k", self.kernel, "-v", version, "-f", SUBMISSION)
        return ("competitions", "submit", COMPETITION, *kernel, "-m", self.message)

    @property
    def ask_scores(self) -> Words:
        """All submissions, as csv."""
        return ("competitions", "submissions", COMPETITION, "-v")

    def in_order(self) -> list[tuple[Words, str]]:
        """Return all of them, each with a remark."""
        wrote = "its log, submission.csv and score.json"
        if self.kind != "infer":
            wrote = f"its log and {WRITES[self.kind]}"
        lines = [
            (self.ask_dataset, "is it there?"),
            (self.create, "where it is not"),
            (self.renew, "where it is"),
            (self.ask_dataset, "until the new version is ready"),
            (self.start, "prints the VERSION"),
            (self.ask_kernel, "until it is complete"),
            (self.fetch, wrote),
        ]
        if self.message:
            lines.append((self.submit("VERSION"), "runs it on the hidden test"))
            lines.append((self.ask_scores, "until there is a public score"))
        return lines
