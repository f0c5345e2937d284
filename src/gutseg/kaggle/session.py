"""Training that takes several sessions: what the last one left, and the end of this one."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gutseg import experiment
from gutseg.config import Config
from gutseg.data.folds import Held
from gutseg.engine import checkpoint

# What a fold needs to resume; event files and predictions stay where they are.
RESUMED = (
    *("config.yaml", "meta.json", "last.pt", "best.pt", "metrics.csv"),
    *("boxes.json", "detector/config.yaml", "detector/weights.safetensors"),
)
# in a competition's folder, which holds 38,000 files and none of these
COMPETITION_FILES = ("train.csv", "sample_submission.csv")


class _OutOfTime(BaseException):
    """The session is over; not an Exception, which libraries catch."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End the block after so many seconds, without an error: its output is to be kept.

    An epoch that has not ended is lost, those before it are in last.pt.
    """

    def stop(*_: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _OutOfTime:
        time = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.0f} s"
        print(f"stopped after {time}; attach this kernel's output to it and run it again")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def folders_of(inputs: Path) -> Iterator[Path]:
    """Yield every attached folder but the competition's."""
    for place, folders, names in os.walk(inputs, followlinks=True):
        if any(name in names for name in COMPETITION_FILES):
            folders.clear()
            continue
        folders.sort()
        yield Path(place)


def take_over(inputs: Path, config: Config, fold: Held) -> Path:
    """Copy the longest attached training of a fold to its run folder, which is returned.

    Nothing is copied where the run folder holds a training already.
    """
    folder = experiment.run_folder(config, fold)
    if (folder / "last.pt").exists():
        return folder
    tail = (config.name, folder.name)
    found = [
        at for at in folders_of(inputs) if at.parts[-2:] == tail and (at / "last.pt").is_file()
    ]
    epochs = {at: len(checkpoint.history(at / "last.pt")) for at in found}
    if not epochs:
        print(f"no {'/'.join(tail)}/last.pt is attached: training begins")
        return folder
    source = max(epochs, key=epochs.__getitem__)
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESUMED:
        if (source / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    print(f"training resumes from {source}, epochs so far: {epochs[source]}")
    return folder
