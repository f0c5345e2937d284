"""Trackers after a kill: every epoch is there, and none is there twice."""

import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gutseg.engine.journal import Journal

ROWS = [{"epoch": epoch, "score": epoch / 10} for epoch in range(5)]


class FakeWandb:
    """Keeps runs by id, as the server does: a resumed run begins at the step after its last."""

    def __init__(self):
        self.runs, self.calls, self.finished = {}, [], 0

    def init(self, **arguments):
        self.calls.append(arguments)
        assert arguments["resume"] == "allow"
        rows = self.runs.setdefault(arguments["id"], [])

        def log(row, step, commit):
            # the real one drops a step that it has with a warning, and holds back what is not
            # committed until the next step comes
            assert commit and step == row["epoch"] and step >= len(rows)
            rows.append(row)

        return SimpleNamespace(step=len(rows), log=log, finish=self._finish)

    def _finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def _steps(folder):
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    return [(event.step, round(event.value, 6)) for event in board.Scalars("score")]


# rows that the killed process had recorded, and rows of the last.pt that it left
@pytest.mark.parametrize(("recorded", "kept"), [(2, 2), (2, 3), (0, 1), (3, 1)])
def test_a_record_after_a_kill_has_every_epoch_once(tmp_path, wandb, recorded, kept):
    """last.pt may be an epoch ahead of the record, or behind it: an old one copied back."""
    first = Journal(tmp_path, wandb={"project": "p"})
    for count in range(recorded):
        first.write(ROWS[: count + 1])
    del first  # killed: nothing is closed
    second = Journal(tmp_path, wandb={"project": "p"})
    second.resume(ROWS[:kept])
    assert pd.read_csv(tmp_path / "metrics.csv")["epoch"].tolist() == list(range(kept))
    for count in range(kept, 5):
        second.write(ROWS[: count + 1])
    second.close()
    assert _steps(tmp_path) == [(row["epoch"], row["score"]) for row in ROWS]
    (found,) = wandb.runs.values()
    assert found == ROWS and wandb.finished == 1
    assert pd.read_csv(tmp_path / "metrics.csv")["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert pd.read_csv(tmp_path / "metrics.csv")["score"].tolist() == [0, 0.1, 0.2, 0.3, 0.4]


def test_a_run_has_an_id_of_its_own_that_lies_in_its_folder(tmp_path, wandb):
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        Journal(tmp_path / name, tensorboard=False, wandb={"project": "p", "name": name})
    one, other, again = (call["id"] for call in wandb.calls)
    assert one == again != other and len(one) == 16
    (tmp_path / "a" / "wandb_run.json").write_text("[]")
    with pytest.raises(ValueError, match="wandb_run.json does not say under which id"):
        Journal(tmp_path / "a", wandb={})
    (tmp_path / "a" / "wandb_run.json").unlink()  # trained anew: not the run of before
    Journal(tmp_path / "a", tensorboard=False, wandb={})
    assert wandb.calls[-1]["id"] != one


def test_a_run_that_the_server_lost_is_sent_again_as_a_whole(tmp_path, wandb):
    Journal(tmp_path, tensorboard=False, wandb={}).resume(ROWS[:3])
    wandb.runs.clear()
    Journal(tmp_path, tensorboard=False, wandb={}).resume(ROWS[:4])
    assert list(wandb.runs.values()) == [ROWS[:4]]


def test_offline_the_last_process_holds_every_epoch_once(tmp_path, monkeypatch):
    """A process writes a folder of its own, from step 0; synced, it replaces those of before."""
    folders = []

    def init(**arguments):
        folders.append((arguments["id"], []))
        log = lambda row, step, commit: folders[-1][1].append((step, row))  # noqa: E731
        return SimpleNamespace(step=0, log=log, finish=lambda: None)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    for first, last in ((0, 2), (2, 5)):
        journal = Journal(tmp_path, tensorboard=False, wandb={"mode": "offline"})
        journal.resume(ROWS[:first])
        for count in range(first, last):
            journal.write(ROWS[: count + 1])
    (one, before), (other, after) = folders
    assert one == other and [step for step, _ in before] == [0, 1]
    assert after == list(enumerate(ROWS))


def test_wandb_asked_for_and_absent(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="wandb is not installed"):
        Journal(tmp_path, tensorboard=False, wandb={"project": "x"})
