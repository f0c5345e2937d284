"""What `gutseg kernel check` does with the kernels that train and score."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from gutseg.constants import CLASSES
from gutseg.data.submission import COLUMNS
from gutseg.files import SUBMISSION, read_json
from gutseg.kaggle import views
from gutseg.kaggle.metadata import KERNEL
from gutseg.kaggle.sandbox import GB, Ran, run_like_kaggle

# Of each of the two sessions that a training is given; its variable in kernels/train.
SECONDS, VARIABLE = 60, "GUTSEG_SECONDS"
# how kernels/train says that its session is over
ENDED = re.compile("is trained|stopped after")
# one for each of the five folds that it draws
CASES = (1, 2, 3, 4, 5)


def rehearse_training(folder: Path, workplace: Path) -> Iterator[str]:
    """Run the kernel that trains for two short sessions, the second beside the first's output.

    workplace: an empty folder. Raises ValueError when the second does not resume what is there.
    """
    images = workplace / "images"
    views.write_public(images, CASES)
    # the cache of a config is always at the same place, and gone in a new session
    place = workplace / "tmp"
    settings = {VARIABLE: str(SECONDS), "TMPDIR": str(place)}
    attached: dict[str, Path] = {}
    for session in ("first", "second"):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        ran = run_like_kaggle(
            folder,
            images,
            workplace / session,
            settings=settings,
            kind="train",
            attached=attached,
        )
        if attached and not any("training resumes from" in line for line in ran.log):
            raise ValueError("the kernel began anew although its own output was attached")
        end = next(filter(ENDED.search, reversed(ran.log)), ran.log[-1])
        yield f"{session} session on {len(CASES)} scans: {end}; {_took(ran)}"
        if not any(ran.written.glob("*/*/last.pt")):
            yield f"no epoch ends here within {SECONDS} s, so that resuming was not tried"
            return
        slug = read_json(folder / "train" / KERNEL)["id"].rpartition("/")[2]
        # Kaggle mounts the output of a kernel so
        attached = {f"notebooks/user/{slug}": ran.written.parent}


def rehearse_scoring(folder: Path, workplace: Path) -> Iterator[str]:
    """Run the kernel that scores beside labels that are written as a submission: it finds 1.

    workplace: an empty folder. Raises ValueError for any other score.
    """
    images, labels = workplace / "images", workplace / "labels"
    rows = views.write_public(images, CASES[:2])
    labels.mkdir()
    (labels / SUBMISSION).write_text(",".join(COLUMNS) + "\n" + rows)
    ran = run_like_kaggle(
        folder, images, workplace / "work", kind="cv", attached={"datasets/user/labels": labels}
    )
    found = {name: row["score"] for name, row in read_json(ran.written).items()}
    if found != {f"datasets/user/labels/{SUBMISSION}": 1.0}:
        raise ValueError(f"the kernel scored labels held against themselves {found}; expected 1")
    slices = len(rows.splitlines()) // len(CLASSES)
    yield f"labels of {slices} slices, held against themselves: score 1.0000; {_took(ran)}"


def _took(ran: Ran) -> str:
    return f"{ran.seconds:.0f} s, at most {ran.peak_bytes / GB:.1f} GB"
