"""The loop on a network of one convolution, where every step can be followed."""

import copy
import time

import pandas as pd
import pytest
import torch
from torch import nn

from gutseg.config import Train
from gutseg.config.training import Optim
from gutseg.engine import checkpoint, precision
from gutseg.engine.distributed import World
from gutseg.engine.journal import Journal
from gutseg.engine.loop import Learner, best_epoch, fit
from gutseg.engine.optim import Schedule, optimizer
from gutseg.losses import Criterion

CPU = torch.device("cpu")


class Batches:
    """Batches that depend on the epoch alone, as the real loader's do."""

    def __init__(self, number=4, size=2, poison=None):
        self.sampler = self
        self.number, self.size, self.poison = number, size, poison

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.number

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.epoch)
        for number in range(self.number):
            images = torch.rand(self.size, 3, 6, 6, generator=generator)
            if (self.epoch, number) == self.poison:
                images[0, 0, 0, 0] = float("nan")
            ids = [f"e{self.epoch}b{number}s{i}" for i in range(self.size)]
            yield {"images": images, "target": (images > 0.6).float(), "ids": ids}


def _learner(epochs=1, seed=0, dropout=0.0, lr=0.05, **settings):
    optim, settings = Optim(lr=lr, weight_decay=0.0), {"epochs": epochs} | settings
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(dropout))
    return Learner(
        model,
        Criterion("bce_dice"),
        optimizer(model, optim),
        Schedule(optim, steps=16),
        precision.choose(CPU, True),
        World(0, 1, CPU),
        Train(**settings),
    )


def _flat(model):
    return torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])


def _evaluate(values):
    rows = iter(values)
    return lambda model, with_score: {"score": next(rows)} if with_score else {}


class SlowBatches(Batches):
    """Each of four is waited for."""

    def __iter__(self):
        for batch in super().__iter__():
            time.sleep(0.05)
            yield batch


def test_the_time_that_batches_are_waited_for_is_kept_apart(tmp_path):
    (waiting,) = fit(_learner(), SlowBatches(), lambda *_: {"score": 0.0}, tmp_path / "a", None)
    assert 0.2 <= waiting["data_wait"] * waiting["seconds"] < waiting["seconds"]
    slow = _learner()
    slow.criterion = lambda *given: [time.sleep(0.05), Criterion("bce_dice")(*given)][1]
    (working,) = fit(slow, Batches(), lambda *_: {"score": 0.0}, tmp_path / "b", None)
    assert 0 < working["data_wait"] < 1 - 0.2 / working["seconds"]


def test_resume_is_exact_to_the_bit(tmp_path):
    """Four epochs at once, and two and two; dropout and the moving average included."""
    score = [0.1, 0.4, 0.3, 0.2]
    straight = _learner(4, dropout=0.3, ema=0.9)
    fit(straight, Batches(), _evaluate(score), tmp_path / "a", None)
    first = _learner(2, dropout=0.3, ema=0.9)
    fit(first, Batches(), _evaluate(score[:2]), tmp_path / "b", None)
    second = _learner(4, seed=7, dropout=0.3, ema=0.9)
    history = fit(second, Batches(), _evaluate(score[2:]), tmp_path / "b", None)
    assert torch.equal(_flat(second.model), _flat(straight.model))
    assert torch.equal(_flat(second.best), _flat(straight.best))
    assert [row["score"] for row in history] == score
    one, two = (checkpoint.load(tmp_path / run / "best.pt") for run in "ab")
    assert one["metrics"]["epoch"] == two["metrics"]["epoch"] == 1
    assert all(torch.equal(one["model"][key], two["model"][key]) for key in one["model"])


def test_accumulated_halves_are_one_whole_batch():
    """BCE is a mean, so two batches of two make the gradient of one of four."""
    whole, halves = _learner(), _learner(accumulate=2)
    for learner in (whole, halves):
        learner.criterion = Criterion("bce")
        learner.model[1] = nn.Identity()  # batch statistics would differ
        learner.optimizer = optimizer(learner.model, Optim(name="sgd", weight_decay=0.0, lr=0.1))
    big = Batches(2, 4)
    big.set_epoch(0)
    split = [
        {"images": b["images"][i : i + 2], "target": b["target"][i : i + 2], "ids": b["ids"]}
        for b in big
        for i in (0, 2)
    ]

    class Halves(Batches):
        def __iter__(self):
            return iter(split)

    from gutseg.engine.loop import _train_epoch

    _train_epoch(whole, big, [])
    _train_epoch(halves, Halves(4), [])
    assert whole.step == halves.step == 2
    torch.testing.assert_close(_flat(whole.model), _flat(halves.model))


def test_a_short_last_group_is_divided_by_its_own_length(tmp_path):
    learner = _learner(accumulate=2)
    fit(learner, Batches(5), _evaluate([1.0]), tmp_path, None)
    assert learner.step == 3


def test_nan_stops_the_run_and_names_the_slices(tmp_path):
    learner = _learner(3)
    with pytest.raises(FloatingPointError, match="epoch 1, batch 2 .*e1b2s0, e1b2s1"):
        fit(learner, Batches(poison=(1, 2)), _evaluate([0.5, 0.6]), tmp_path, None)
    assert len(checkpoint.load(tmp_path / "last.pt")["history"]) == 1
    assert torch.isfinite(_flat_state(tmp_path / "last.pt")).all()


def _flat_state(path):
    model = checkpoint.load(path)["learner"]["model"]
    return torch.cat([tensor.flatten().float() for tensor in model.values()])


def test_early_stopping_waits_for_patience(tmp_path):
    scores = [0.1, 0.5, 0.4, 0.5, 0.3, 0.9]
    history = fit(_learner(6, patience=2), Batches(), _evaluate(scores), tmp_path, None)
    assert len(history) == 4  # equal is not better
    assert best_epoch(history, Train()) == 1


def test_epochs_without_a_measurement_cost_no_patience(tmp_path):
    """The score is measured in every third epoch: 0.5, 0.4, 0.3 in epochs 2, 5 and 8."""
    learner = _learner(20, patience=2, score_every=3)
    scores = iter([0.5, 0.4, 0.3, 0.9])

    def evaluate(model, with_score):
        return {"score": next(scores)} if with_score else {"val_loss": 1.0}

    assert len(fit(learner, Batches(), evaluate, tmp_path, None)) == 9


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "highest", "best"),
    [
        ([NAN, 0.1, 0.3, NAN], True, 2),
        ([NAN, 0.4, 0.2, NAN], False, 2),
        ([0.5, NAN, 0.5], True, 0),
        ([INF, -INF, 0.2], True, 2),
        ([-INF, INF, 0.2], False, 2),
        ([None, 0.2, NAN], False, 1),
        ([NAN, NAN], True, None),
        ([None], True, None),
        ([], True, None),
    ],
)
def test_only_finite_values_can_be_best(values, highest, best):
    monitor = "score" if highest else "val_loss"
    history = [{} if value is None else {monitor: value} for value in values]
    assert best_epoch(history, Train(monitor=monitor)) == best


def test_a_first_epoch_that_is_nan_is_overtaken(tmp_path):
    scores = [NAN, 0.2, 0.1, 0.1]
    history = fit(_learner(9, patience=2), Batches(), _evaluate(scores), tmp_path, None)
    assert len(history) == 4
    assert checkpoint.load(tmp_path / "best.pt")["metrics"]["score"] == 0.2


def test_a_training_without_one_finite_score_fails(tmp_path):
    for _ in range(2):  # when it is asked for again, too
        with pytest.raises(FloatingPointError, match="score was finite in none of 3 epochs"):
            fit(_learner(3, patience=1), Batches(), _evaluate([NAN] * 3), tmp_path, None)
        assert not (tmp_path / "best.pt").exists()


@pytest.mark.parametrize("ema", [None, 0.5])
def test_weights_that_are_not_finite_are_never_kept(tmp_path, ema):
    """The loss is looked at before a step; what the last step of an epoch does shows here."""
    learner = _learner(ema=ema)
    fit(learner, Batches(1), _evaluate([0.5]), tmp_path, None)
    before = {name: (tmp_path / name).read_bytes() for name in ("best.pt", "last.pt")}
    learner.schedule = Schedule(Optim.model_construct(lr=INF, schedule="constant"), steps=1)
    learner.train = Train(epochs=2, ema=ema)
    message = "weights are not finite after epoch 1 .* under another name=..."
    with pytest.raises(FloatingPointError, match=message):
        fit(learner, Batches(1), _evaluate([0.6]), tmp_path, None)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def _spoil(change):
    """Return a function that changes what a last.pt holds."""

    def act(folder):
        content = checkpoint.load(folder / "last.pt")
        change(content)
        torch.save(content, folder / "last.pt")

    return act


def _poisoned(content):
    content["learner"]["optimizer"]["state"][0]["exp_avg"][0] = NAN


SPOILT = {
    "empty": (lambda folder: (folder / "last.pt").write_bytes(b""), "last.pt is empty"),
    "a best.pt": (
        lambda folder: (folder / "best.pt").rename(folder / "last.pt"),
        "last.pt does not hold the state of a training",
    ),
    "no history": (_spoil(lambda c: c.pop("history")), "last.pt does not hold the state"),
    "history of text": (_spoil(lambda c: c.update(history=["a"])), "last.pt does not hold the"),
    "an epoch is missing": (_spoil(lambda c: c["history"].pop(0)), "last.pt does not hold the"),
    "no learner": (_spoil(lambda c: c.pop("learner")), "last.pt does not hold the state"),
    "no model": (_spoil(lambda c: c["learner"].pop("model")), "training .it holds no model"),
    "no optimiser": (
        _spoil(lambda c: c["learner"].pop("optimizer")),
        "training .it holds no optim",
    ),
    "no step": (_spoil(lambda c: c["learner"].pop("step")), "training .it holds no step"),
    "optimiser without means": (
        _spoil(lambda c: c["learner"]["optimizer"].update(state={})),
        "fit this training .the optimiser's state is missing",
    ),
    "optimiser of another network": (
        _spoil(
            lambda c: c["learner"]["optimizer"]["state"][0].update(exp_avg=torch.ones(2, 3)),
        ),
        "fit this training .the optimiser's state is missing",
    ),
    "other shapes": (
        _spoil(lambda c: c["learner"]["model"].update({"0.weight": torch.ones(2, 2)})),
        "fit this training .1 tensor .0.weight. of another shape",
    ),
    "means that are NaN": (
        _spoil(_poisoned),
        r"holds numbers that are not finite \(1 tensor \(optimizer.state.0.exp_avg\)\)",
    ),
    "no best.pt": (
        lambda folder: (folder / "best.pt").unlink(),
        "best.pt does not exist; an earlier epoch made it",
    ),
    "cut best.pt": (
        lambda folder: (folder / "best.pt").write_bytes(b"PK"),
        "best.pt is not a checkpoint that torch can read; delete .* and train this fold again",
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_training_goes_on_from_whole_files_only(tmp_path, kind):
    fit(_learner(2), Batches(), _evaluate([0.5, 0.4]), tmp_path, None)
    change, message = SPOILT[kind]
    change(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises((ValueError, OSError), match=message) as caught:
        fit(_learner(3), Batches(), _evaluate([0.6]), tmp_path, None)
    assert "train this fold again" in str(caught.value) or "lower optim.lr" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_last_pt_that_leads_nowhere_is_not_one_that_is_yet_to_be_written(tmp_path):
    (tmp_path / "last.pt").symlink_to("gone.pt")
    with pytest.raises(FileNotFoundError, match=r"link to gone.pt, which is gone; delete "):
        fit(_learner(1), Batches(), _evaluate([0.6]), tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_lost_last_pt_does_not_cost_the_best_weights(tmp_path):
    fit(_learner(2), Batches(), _evaluate([0.4, 0.5]), tmp_path, None)
    (tmp_path / "last.pt").unlink()
    before = (tmp_path / "best.pt").read_bytes()
    with pytest.raises(FileNotFoundError, match="last.pt does not exist, but best.pt is of ep.* 1"):
        fit(_learner(2), Batches(), _evaluate([0.6]), tmp_path, None)
    assert (tmp_path / "best.pt").read_bytes() == before


def test_a_kill_between_the_first_best_pt_and_last_pt_costs_one_epoch(tmp_path):
    fit(_learner(1), Batches(), _evaluate([0.5]), tmp_path, None)
    (tmp_path / "last.pt").unlink()
    assert len(fit(_learner(1), Batches(), _evaluate([0.5]), tmp_path, None)) == 1


def test_an_optimiser_without_momentum_has_nothing_to_lose(tmp_path):
    for epochs in (1, 2):
        learner = _learner(epochs)
        sgd = Optim(name="sgd", weight_decay=0.0, lr=0.1, momentum=0.0)
        learner.optimizer = optimizer(learner.model, sgd)
        history = fit(learner, Batches(), _evaluate([0.5]), tmp_path, None)
    assert len(history) == 2


def test_lowest_is_best_for_a_loss():
    history = [{"val_loss": 0.5, "score": 0.9}, {"val_loss": 0.2}, {"val_loss": 0.3, "score": 1.0}]
    assert best_epoch(history, Train(monitor="val_loss")) == 1
    assert best_epoch(history, Train()) == 2


def test_score_only_every_few_epochs_and_at_the_end(tmp_path):
    asked = []

    def evaluate(model, with_score):
        asked.append(with_score)
        return {"score": 0.5} if with_score else {}

    fit(_learner(5, score_every=2), Batches(), evaluate, tmp_path, None)
    assert asked == [False, True, False, True, True]


def test_gradients_are_clipped_to_the_norm():
    learner = _learner(clip_norm=1e-3)
    sgd = Optim(name="sgd", weight_decay=0.0, lr=1.0, momentum=0.0)
    learner.optimizer = optimizer(learner.model, sgd)
    learner.schedule = Schedule(Optim(lr=1.0, schedule="constant"), steps=1)
    before = [weights.detach().clone() for weights in learner.model.parameters()]
    batches = Batches()
    batches.set_epoch(0)
    learner.backward(next(iter(batches)), 1, True)
    learner.update(0)
    moved = [w.detach() - b for w, b in zip(learner.model.parameters(), before, strict=True)]
    assert torch.cat([m.flatten() for m in moved]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_moving_average_follows_its_formula():
    from gutseg.engine.loop import _train_epoch

    learner, shadow = _learner(ema=0.8), None
    watched = copy.deepcopy(learner.model[0].weight.detach())
    inner = learner.average.update_parameters

    def record(model):
        nonlocal shadow
        now = model[0].weight.detach().clone()
        shadow = now if shadow is None else 0.8 * shadow + 0.2 * now
        inner(model)

    learner.average.update_parameters = record
    _train_epoch(learner, Batches(), [])
    torch.testing.assert_close(learner.best[0].weight.detach(), shadow)
    assert not torch.equal(shadow, watched)


def test_the_weights_of_the_last_steps_are_averaged_all_alike(tmp_path):
    """16 steps in 4 epochs, from .5 on: the mean of steps 8 to 15, batch statistics too."""
    learner, seen = _learner(4, average_from=0.5, monitor=None), []
    step = learner.optimizer.step

    def record(*given, **named):
        step(*given, **named)
        seen.append(_flat(learner.model))

    learner.optimizer.step = record
    kept = []

    def evaluate(model, _):
        kept.append(_flat(model))
        return {"score": 0.0}

    fit(learner, Batches(), evaluate, tmp_path, None)
    # until it begins the model itself is what is evaluated
    assert torch.equal(kept[1], seen[7]) and len(seen) == 16
    count = -1  # num_batches_tracked, a whole number
    torch.testing.assert_close(kept[3][:count], torch.stack(seen[8:]).mean(0)[:count])
    assert not torch.allclose(kept[3][:count], seen[15][:count])


def test_an_average_that_has_begun_resumes_bit_for_bit(tmp_path):
    straight = _learner(4, average_from=0.3, monitor=None)
    fit(straight, Batches(), _evaluate([0, 0, 0, 0]), tmp_path / "a", None)
    stopped = _learner(4, average_from=0.3, monitor=None)
    with pytest.raises(StopIteration):  # after two epochs
        fit(stopped, Batches(), _evaluate([0, 0]), tmp_path / "b", None)
    resumed = _learner(4, seed=7, average_from=0.3, monitor=None)
    fit(resumed, Batches(), _evaluate([0, 0]), tmp_path / "b", None)
    assert torch.equal(_flat(resumed.best), _flat(straight.best))
    assert not torch.equal(_flat(resumed.best), _flat(resumed.model))


def test_two_averages_at_once_are_refused():
    with pytest.raises(ValueError, match=r"ema: 0.9 and average_from: 0.5 are two averages"):
        Train(ema=0.9, average_from=0.5)
    with pytest.raises(ValueError, match="train.monitor and train.patience choose an epoch"):
        Train(average_from=0.5)


def test_a_frozen_encoder_keeps_its_weights_and_then_moves(tmp_path):
    optim = Optim(lr=0.05, frozen_epochs=1)
    torch.manual_seed(0)
    layers = {"encoder": nn.Conv2d(3, 3, 3, padding=1), "head": nn.Conv2d(3, 3, 1)}
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    train = Train(epochs=2)
    learner = Learner(
        model,
        Criterion("bce_dice"),
        optimizer(model, optim),
        Schedule.of(optim, train, 4),
        precision.choose(CPU, True),
        World(0, 1, CPU),
        train,
    )
    weights = []

    def evaluate(*_):
        weights.append([layer.weight.detach().clone() for layer in layers.values()])
        return {"score": 0.0}

    before = [layer.weight.detach().clone() for layer in layers.values()]
    fit(learner, Batches(), evaluate, tmp_path, None)
    assert torch.equal(weights[0][0], before[0]) and not torch.equal(weights[0][1], before[1])
    assert not torch.equal(weights[1][0], before[0])


def test_learning_rate_is_a_function_of_the_step(tmp_path):
    learner = _learner(2, lr=0.1)
    history = fit(learner, Batches(), _evaluate([1, 1]), tmp_path, None)
    assert [row["lr"] for row in history] == [learner.schedule(3), learner.schedule(7)]


def test_compiled_training_learns_the_same(tmp_path, monkeypatch):
    """The eager backend checks the wiring; the generated code needs a compiler."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: real(model, backend="eager"))
    plain, compiled = _learner(), _learner(compile=True)
    for name, learner in (("a", plain), ("b", compiled)):
        fit(learner, Batches(), _evaluate([1]), tmp_path / name, None)
    torch.testing.assert_close(_flat(plain.model), _flat(compiled.model))
    keys = checkpoint.load(tmp_path / "b" / "best.pt")["model"].keys()
    assert keys == plain.model.state_dict().keys()


def test_journal_keeps_every_epoch(tmp_path):
    journal = Journal(tmp_path)
    fit(_learner(2), Batches(), _evaluate([0.1, 0.2]), tmp_path, journal)
    journal.close()
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert table["epoch"].tolist() == [0, 1] and table["score"].tolist() == [0.1, 0.2]
    assert {"train_loss", "train_bce", "train_dice", "lr", "seconds"} <= set(table)
    sums = table["train_bce"] + table["train_dice"]
    assert sums.tolist() == pytest.approx(table["train_loss"].tolist())
    assert list((tmp_path / "tensorboard").iterdir())
