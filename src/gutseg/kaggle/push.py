"""A build goes to Kaggle: dataset, kernel, its run and its output, a submission and its score."""

import csv
import io
import json
import logging
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gutseg import files
from gutseg.kaggle import client, metadata
from gutseg.kaggle.client import Refusal, ask, need_command, wait_for
from gutseg.kaggle.opening import verify
from gutseg.kaggle.steps import Steps, content_of_bundle, content_of_kernel
from gutseg.kaggle.words import Lines

log = logging.getLogger(__name__)

# How Kaggle says that there is no such dataset, or none of yours.
ABSENT = re.compile(r"\b(403|404)\b|not found|forbidden|denied", re.I)
PUSHED = r"Kernel version ([0-9]+) successfully pushed"
# What kaggle/session.py says where a training's time is over.
STOPPED = "attach this kernel's output to it and run it again"
LAST_LINES = 8  # of the log of a kernel that failed
# in push.json: the training goes on, so that a build must not forget its output
RESUME = "resume"


def resume_training(folder: Path, kind: metadata.Kind) -> None:
    """After a build: attach a training's own output again, where its last session was too short."""
    if kind == "train":
        kernel = files.read_json(folder / kind / metadata.KERNEL)["id"]
        if Steps(folder).result(RESUME, kernel):
            metadata.attach_own_output(folder / kind)


def push(
    folder: Path, message: str = "", dry_run: bool = False, kind: metadata.Kind = "infer"
) -> None:
    """Push a build, and submit it with a message; what was done before is not done again.

    dry_run: print the commands and run none. kind: which kernel the build is. Raises ValueError
    with what Kaggle said and what to do; all finished steps are kept in the build's push.json.
    """
    if message and kind != "infer":
        raise ValueError(f"--submit is not for kernel --kind {kind}, which writes no submission")
    metadata.check(folder, kind)
    verify(folder / "bundle")
    dataset = files.read_json(folder / "bundle" / metadata.DATASET)["id"]
    kernel = files.read_json(folder / kind / metadata.KERNEL)["id"]
    lines = Lines(folder, dataset, kernel, message, kind)
    if not dry_run:
        Push(lines).run()
        return
    for words, remark in lines.in_order():
        print(f"kaggle {shlex.join(words)}  # {remark}")


class Push:
    """The steps of one build."""

    def __init__(self, lines: Lines) -> None:
        self.lines, self.steps = lines, Steps(lines.folder)
        # each step belongs to the content that it was done with
        self.bundle = content_of_bundle(lines.folder)
        self.kernel = content_of_kernel(lines.folder, lines.kind)

    def run(self) -> None:
        """Do what is not done yet, and print how far it came."""
        need_command()
        self._step("dataset", self.bundle, self.upload, "sent, after version {}")
        self._step("ready", self.bundle, self.wait_until_ready)
        version = self._step("kernel", self.kernel, self.start, "version {}")
        self._step("run", self.kernel, self.wait_until_run)
        self._step("output", self.kernel, self.fetch)
        name = f"{self.lines.kernel} version {version}"
        if self.lines.kind != "infer":
            print(f"{name} has run; its output is in {self.lines.output}{self._next()}")
            return
        if not self.lines.message:
            print(f"{name} has run; to submit it, repeat this command with --submit MESSAGE")
            return
        submission = f"{self.kernel} {version} {self.lines.message}"
        self._step("submission", submission, lambda: self.submit(version))
        print(f"{name}: {self._step('score', submission, self.wait_until_scored)}")

    def _step(self, name: str, of: str, work: Callable[[], Any], says: str = "{}") -> Any:
        before = self.steps.result(name, of)
        if before is not None:
            log.info("%s: done before (%s)", name, says.format(before))
            return before
        log.info("%s ...", name)
        result = work()
        self.steps.record(name, of, result)
        log.info("%s: %s", name, says.format(result))
        return result

    def upload(self) -> int:
        """Create the dataset or a version of it; return the number of the version before."""
        try:
            before = self._dataset()["current_version_number"]
        except Refusal as refusal:
            if not ABSENT.search(refusal.said):
                raise
            ask(*self.lines.create, expect="Dataset is being created")
            return 0
        ask(*self.lines.renew, expect="Dataset version is being created")
        return before

    def wait_until_ready(self) -> str:
        """Return which version of the dataset is ready; that before may say so for a while."""
        before = self.steps.result("dataset", self.bundle)

        def question() -> str | None:
            found = self._dataset()
            if found["status"] in ("failed", "deleted"):
                self.steps.forget("dataset")
                problem = f"Kaggle says of the dataset {self.lines.dataset}: {found['status']}"
                raise ValueError(f"{problem}; repeat the command to send it again")
            number = found["current_version_number"]
            return f"version {number}" if found["status"] == "ready" and number > before else None

        return wait_for(question, f"the dataset {self.lines.dataset} is not ready")

    def _dataset(self) -> dict[str, Any]:
        said = ask(*self.lines.ask_dataset, expect='"status"', any_words=True)
        found = json.loads(said[said.index("{") : said.rindex("}") + 1])
        return found | {"current_version_number": int(found.get("current_version_number") or 0)}

    def start(self) -> int:
        """Push the kernel, which runs it; return the number of its version."""
        number = int(re.findall(PUSHED, ask(*self.lines.start, expect=PUSHED))[-1])
        client.pause()  # at first Kaggle may still answer for the version before
        return number

    def wait_until_run(self) -> str:
        """Return "complete"; raises ValueError with the kernel's last lines when it fails."""

        def question() -> str | None:
            said = ask(*self.lines.ask_kernel, expect='has status "', any_words=True)
            # "KernelWorkerStatus.COMPLETE"; older versions said "complete"
            status = re.findall(r'has status "(?:\w+\.)?(\w+)"', said)[-1].lower()
            if status == "error" or status.startswith("cancel"):
                self._fail(status, said)
            return status if status == "complete" else None

        return wait_for(question, f"the kernel {self.lines.kernel} is still running")

    def _fail(self, status: str, said: str) -> None:
        self.steps.forget("kernel")  # a repeated push runs it again
        reason = re.search(r'Failure message: "(.*?)"', said)
        why = f" ({reason[1]})" if reason else ""
        try:
            self._fetch()
            found = log_lines(self.lines.output)[-LAST_LINES:]
        except (ValueError, OSError) as error:
            found = [f"its log could not be fetched: {error}"]
        remedy = "mend what its last lines say, then build, check and push again"
        text = "".join(f"\n  {line}" for line in found)
        raise ValueError(f"the kernel {self.lines.kernel} ended with {status}{why}; {remedy}{text}")

    def _fetch(self) -> None:
        shutil.rmtree(self.lines.output, ignore_errors=True)
        self.lines.output.mkdir()
        ask(*self.lines.fetch, any_words=True)

    def fetch(self) -> str:
        """Fetch the kernel's output; return the names of the files and the score among them."""
        self._fetch()
        output, wanted = self.lines.output, metadata.WRITES[self.lines.kind]
        names = ", ".join(sorted(path.name for path in output.iterdir()))
        if not (output / wanted).exists():
            problem = f"the kernel {self.lines.kernel} wrote no {wanted}, but {names}"
            raise ValueError(f"{problem}; see its log in {output}, then build, check and push")
        path = output / "score.json"  # of the public session and of what was attached
        found = files.read_json(path) if path.is_file() else {}
        if self.lines.kind == "cv":
            return "; ".join([names, *(f"{one} {row['score']:.4f}" for one, row in found.items())])
        score = found.get("score")
        return names if score is None else f"{names}; score of the public session {score:.4f}"

    def _next(self) -> str:
        """Say how a training goes on that its session was too short for, and have it go on."""
        if not any(STOPPED in line for line in log_lines(self.lines.output)):
            self.steps.forget(RESUME)
            return ""
        metadata.attach_own_output(self.lines.folder / self.lines.kind)
        self.steps.forget("kernel", "run", "output")
        self.steps.record(RESUME, self.lines.kernel, True)
        return "; its time was over: repeat this command, and it resumes from there"

    def submit(self, version: int) -> str:
        """Submit a version of the kernel; return what Kaggle answers."""
        return ask(*self.lines.submit(str(version))).splitlines()[-1]

    def wait_until_scored(self) -> str:
        """Return the scores of the submission."""

        def question() -> str | None:
            said = ask(*self.lines.ask_scores, expect="publicScore|No submissions", any_words=True)
            row = newest(said, self.lines.message)
            status = row.get("status", "").rpartition(".")[2].lower()
            if status == "error":
                self.steps.forget("submission")
                problem = f"Kaggle could not score the submission {self.lines.message!r}"
                remedy = "see its page on kaggle.com and docs/kaggle.md, and run kernel check"
                raise ValueError(f"{problem}; {remedy}")
            private = f", private {row['privateScore']}" if row.get("privateScore") else ""
            return f"public score {row['publicScore']}{private}" if status == "complete" else None

        return wait_for(question, f"the submission {self.lines.message!r} is not scored")


def log_lines(output: Path) -> list[str]:
    """Return the lines of a kernel's log, which Kaggle keeps as JSON, one event after another."""
    text = "".join(path.read_text(errors="replace") for path in sorted(output.glob("*.log")))
    with suppress(ValueError, KeyError, TypeError):  # it may be plain text
        text = "".join(str(event["data"]) for event in json.loads(text))
    return [line for line in text.splitlines() if line.strip()]


def newest(said: str, message: str) -> dict[str, str]:
    """Return the newest row of a csv of submissions that has this description."""
    lines = said.splitlines()
    start = next((n for n, line in enumerate(lines) if "publicScore" in line), len(lines))
    rows = csv.DictReader(io.StringIO("\n".join(lines[start:])))
    found = [row for row in rows if row.get("description") == message]
    return max(found, key=lambda row: row.get("date") or "", default={})
