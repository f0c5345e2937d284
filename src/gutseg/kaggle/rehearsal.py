"""What `gutseg kernel check` does: both views, the csv held against the sample, and the time."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from gutseg.config import Blend, load_blend
from gutseg.data.index import Issues, list_slices
from gutseg.data.mask_csv import read_rows
from gutseg.data.submission_issues import read_sample, read_submission, submission_issues
from gutseg.files import competition_folder, need_file, read_json, write_json
from gutseg.held_out import SCORE, Unseen
from gutseg.inference.looks import passes
from gutseg.jobs import num_cores
from gutseg.kaggle.code_rehearsal import rehearse_scoring, rehearse_training
from gutseg.kaggle.manifest import MARKER
from gutseg.kaggle.metadata import Kind
from gutseg.kaggle.opening import sha256
from gutseg.kaggle.sandbox import GB, Ran, device_kind, run_like_kaggle
from gutseg.kaggle.views import NEW, RETURNING, Views, write_views
from gutseg.registry import listed

HOURS = 9.0
# The hidden test has about 50 cases; those of train have 3.2 scans each, most of 144 slices.
HIDDEN_SLICES = 50 * 3 * 144
CHECKS = "checks.json"


@dataclass(frozen=True)
class Measured:
    """What a check measured on one kind of machine."""

    # whether slices had their real size
    full: bool
    # until the first slice: imports, weights, compiling
    start_seconds: float
    seconds_per_slice: float
    peak_gb: float

    @property
    def hours(self) -> float:
        """For the hidden test."""
        return (self.start_seconds + HIDDEN_SLICES * self.seconds_per_slice) / 3600


def check(
    folder: Path, images: Path | None = None, full: bool = False, kind: Kind = "infer"
) -> None:
    """Run the built kernel in both views, or on a competition's folder, and print what it took."""
    if kind != "infer" and (images or full):
        raise ValueError(f"--images and --full are not for kernel --kind {kind}; leave them out")
    ways: dict[Kind, Callable[[Path, Path], Iterator[str]]] = {
        "infer": partial(rehearse, full=full),
        "train": rehearse_training,
        "cv": rehearse_scoring,
    }
    with tempfile.TemporaryDirectory() as workplace:
        if images is None:
            for line in ways[kind](folder, Path(workplace)):
                print(line)
        else:
            ran = run_like_kaggle(folder, images, Path(workplace) / "images")
            rows = check_csv(ran.written, competition_folder(images))
            print(f"{images}: {described(ran, len(rows))}")
    says = "" if kind == "infer" else f" --kind {kind}"
    command = f"gutseg kernel push{says} --folder {folder}"
    print(f"{folder}: the kernel ran as on Kaggle; next: {command}")


def rehearse(folder: Path, workplace: Path, full: bool = False) -> Iterator[str]:
    """Run the built kernel in both views; yield what was found, line by line.

    workplace: an empty folder. full: slices of real size. Raises ValueError when a csv is not what
    Kaggle asks for, or a fault of the images is not in the log.
    """
    case = held_out_case(folder / "bundle" / "blend.yaml")
    views = write_views(workplace / "views", full, case or RETURNING)
    public = run_like_kaggle(folder, views.public, workplace / "public")
    rows = check_csv(public.written, views.public)
    said = described_score(public.written, case)
    yield f"public view, header-only sample: {described(public, len(rows))}; {said}"
    hidden = run_like_kaggle(folder, views.hidden, workplace / "hidden", nested=True)
    rows = check_csv(hidden.written, views.hidden)
    check_faults(hidden, rows, views)
    faults = f"{len(views.empty)} slices that nobody can read have empty masks and are in the log"
    yield f"hidden test, {views.num_hidden} slices: {described(hidden, len(rows))}; {faults}"
    yield from forecast(folder, measured(public, hidden, views, full))


def held_out_case(blend: Path) -> int | None:
    """Return a case that folds of every network held out, so that its score says something."""
    unseen = Unseen.of_blend(blend)
    cases = sorted(set().union(*(found for _, folds in unseen.members for found in folds)))
    new = {case for case, _ in NEW}
    known = (one for one in cases if one not in new and unseen.knows(f"case{one}_day0"))
    return next(known, None)


def described_score(csv: Path, case: int | None) -> str:
    """Say what the score.json beside the csv of the public view holds, and whom it is of."""
    path = need_file(csv.with_name(SCORE), "the public session writes it beside the csv")
    score = read_json(path)["score"]
    if case is None or score is None:
        return "not scored, since every network may have seen its scan"
    return f"score {score:.4f} of folds that had not seen case {case}"


def described(ran: Ran, rows: int) -> str:
    """Say what a run wrote and took."""
    peak = f", at most {ran.peak_bytes / GB:.1f} GB" if ran.peak_bytes else ""
    return f"{rows} rows in {ran.seconds:.0f} s{peak}"


def check_csv(path: Path, root: Path) -> pd.DataFrame:
    """Return the rows of a submission; ValueError unless they are what the folder's sample wants.

    A header-only sample wants labelled slices, every class of them, in the order of train.csv.
    """
    issues = Issues(collect=True)
    rows, asked = read_submission(path, issues), read_sample(root / "sample_submission.csv")
    slices = [list_slices(root / part, Issues(collect=True)) for part in ("test", "train")]
    if asked.empty:
        labelled = read_rows(root / "train.csv", ["segmentation"], Issues(collect=True)).to_pandas()
        there = labelled["id"].isin(slices[1]["id"]) & labelled["id"].isin(rows["id"])
        asked = labelled[there]
    if found := submission_issues(path, rows, asked, pd.concat(slices), issues):
        lines = [f"{where}: {problem}" for where, problem in found]
        raise ValueError(f"the kernel's csv is not valid: {listed(lines, len(lines), '; ')}")
    if rows.empty:
        raise ValueError(f"the kernel's csv holds no rows for {root}")
    return rows


def check_faults(ran: Ran, rows: pd.DataFrame, views: Views) -> None:
    """Raise ValueError unless slices that cannot be read are empty masks and named in the log."""
    filled = rows["id"][(rows["predicted"] != "") & rows["id"].isin(views.empty)]
    if len(filled):
        raise ValueError(f"the kernel wrote a mask for {filled.iloc[0]}, which nobody can read")
    silent = [name for name in views.named if not any(name in line for line in ran.log)]
    if silent:
        raise ValueError(f"the kernel's log does not name {', '.join(silent)}")


def measured(public: Ran, hidden: Ran, views: Views, full: bool) -> Measured:
    """Return the time of the start and of a slice: the runs differ in their slices alone."""
    more = (hidden.seconds - public.seconds) / (views.num_hidden - views.num_public)
    mean = hidden.seconds / views.num_hidden  # the start included
    # on a busy machine the smaller run may take longer: then the forecast is rather too long
    each = more if more > 0.1 * mean else mean
    start = max(hidden.seconds - each * views.num_hidden, 0.0)
    return Measured(full, start, each, max(public.peak_bytes, hidden.peak_bytes) / GB)


def forecast(folder: Path, found: Measured) -> Iterator[str]:
    """Yield how long the hidden test takes on each kind of machine that was measured so far.

    The measurements of one build are kept next to it, in checks.json.
    """
    path, bundle = folder / CHECKS, sha256(folder / MARKER)
    before = read_json(path) if path.is_file() else {}
    kinds = before["machines"] if before.get("bundle") == bundle else {}
    kinds[_machine()] = asdict(found)
    write_json(path, {"bundle": bundle, "machines": kinds})
    blend = load_blend(folder / "bundle" / "blend.yaml")
    for name, values in kinds.items():
        one = Measured(**values)
        size = "" if one.full else " (half the side; --full measures real sizes)"
        speed = f"{1 / one.seconds_per_slice:.1f} slices/s{size}"
        line = f"50 cases x 3 scans x 144 slices: {one.hours:.1f} of {HOURS:.0f} hours on {name}"
        yield f"{line}, {speed}{what_to_cut(blend, one.hours)}"


def what_to_cut(blend: Blend, hours: float) -> str:
    """Say what a blend could do without, where it would not fit; else nothing."""
    if hours <= HOURS:
        return ""
    counts = [(passes(one.tta), len(one.folds)) for one in blend.used]
    whole = sum(looks * folds for looks, folds in counts)
    ways = {
        "tta: none": sum(folds for _, folds in counts),
        "one fold a run": sum(looks for looks, _ in counts),
    }
    if max(ways.values()) < whole:
        ways["both"] = len(counts)
    texts = [f"{way} {hours * left / whole:.1f} h" for way, left in ways.items() if left < whole]
    cuts = ", ".join(texts) or "a smaller network"
    return f": too long; {cuts}; on a GPU a larger predict.batch_size may help"


def _machine() -> str:
    if device_kind() == "cpu":
        return f"{num_cores()} cores of a CPU"
    import torch

    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
