"""Images per second and memory of a training step beside a plain PyTorch script's.

python -m benchmarks.steps [--quick] [--out FILE]
"""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import machine, main, table
from gutseg import experiment
from gutseg.config import Config, load
from gutseg.constants import CLASSES
from gutseg.engine.distributed import init
from gutseg.engine.learner import Learner
from gutseg.engine.memory import PeakMemory
from gutseg.prepare import prepare
from gutseg.synthetic import write_folder
from gutseg.training import train_fold

CONFIG = Path(__file__).parents[1] / "configs" / "demo.yaml"
BATCH, LR = 8, 2e-3
NARROW, WIDE, WIDER = (64, 96), (128, 128), (128, 176)
# the network of demo.yaml and real_scan.yaml
LITE0 = (
    "{name: smp, params: {architecture: Unet, encoder: tu-tf_efficientnet_lite0, "
    "options: {decoder_channels: [128, 64, 32, 16, 16]}}}"
)
# what is measured: the config's model, and height and width of its input
CASES = (
    ("{name: unet, params: {widths: [16, 32, 48, 64], norm: batch}}", NARROW),
    (
        "{name: hybrid_unet, params: {widths: [16, 32, 48, 64], norm: batch, local_levels: [2], "
        "external_levels: [3]}}",
        NARROW,
    ),
    ("{name: smp_unet, params: {encoder: resnet18}}", WIDE),
    (
        "{name: unetpp, params: {encoder: resnet18, "
        "options: {decoder_channels: [64, 48, 32, 16, 16]}}}",
        WIDE,
    ),
    (LITE0, NARROW),
    (LITE0, WIDER),
    ("{name: segresnet, params: {width: 16}}", NARROW),
    ("{name: attention_unet, params: {widths: [16, 32, 64, 128]}}", NARROW),
)
# a GPU is waited for once after many steps, as in a training
ROUNDS, QUICK_ROUNDS, STEPS = 8, 1, {"cpu": 1, "cuda": 20}
WAIT_STEPS, QUICK_WAIT_STEPS, PATIENTS = 80, 2, 3
# processes that make batches; 0: the one that trains
WORKERS = {"cpu": (0, 1), "cuda": (4,)}
# by which the first loss may differ from the plain script's: in float32, and with autocast
SAME = {"cpu": 1e-5, "cuda": 2e-2}


def settings(device: str) -> list[str]:
    """Return the config keys that training is fastest with; device: cpu or cuda."""
    gpu = device == "cuda"
    chosen = {
        "train.amp": gpu,
        "train.channels_last": True,
        "train.compile": gpu,
        "train.workers": WORKERS[device][0],
        "optim.name": "adamw",  # fused on both
    }
    return [f"{key}={str(value).lower()}" for key, value in chosen.items()]


def read_config(model: str, size: tuple[int, int], device: str) -> Config:
    """Return the demo's config with another network, and one learning rate for all steps."""
    changes = [
        *(f"model={model}", f"geometry={{kind: resize, size: [{size[0]}, {size[1]}]}}"),
        *(f"optim={{lr: {LR}, schedule: constant}}", f"train.batch_size={BATCH}"),
        "loss.params.reduction=batch",  # as the plain script's
    ]
    return load(CONFIG, changes + settings(device))


def make_learner(config: Config) -> Learner:
    """Build what `gutseg train` would train, without data."""
    data = SimpleNamespace(inputs=experiment.inputs(config), classes=CLASSES)
    learner = experiment.learner(config, data, experiment.criterion(config), 1, 0, init())
    learner.wrapped.train()
    return learner


def make_batch(config: Config) -> dict:
    """Return noise, and of every class a tenth of the pixels, as a data loader does."""
    drawn = torch.Generator().manual_seed(0)
    height, width = config.geometry.size
    images = torch.rand((BATCH, config.stack.slices, height, width), generator=drawn)
    target = torch.rand((BATCH, len(CLASSES), height, width), generator=drawn) < 0.1
    return {"images": images, "target": target.byte()}


def our_step(learner: Learner, batch: dict) -> Tensor:
    """One step of the training loop; return the loss before it."""
    _, losses = learner.backward(batch, group=1, sync=True)
    learner.update(spent=0.0)
    return losses["loss"]


def plain_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, batch: dict, device: torch.device
) -> Tensor:
    """The step of most scripts: float32, contiguous memory, BCE + Dice; return the loss."""
    optimizer.zero_grad()
    images, target = batch["images"].to(device), batch["target"].to(device).float()
    logits = network(images)
    found = logits.sigmoid()
    overlap = 2 * (found * target).sum((0, 2, 3)) / (found + target).sum((0, 2, 3))
    loss = F.binary_cross_entropy_with_logits(logits, target) + 1 - overlap.mean()
    loss.backward()
    optimizer.step()
    return loss.detach()


@dataclass(frozen=True)
class Pair:
    """Both steps of one network from the same weights, and how to forget the gradients."""

    ours: Callable[[], Tensor]
    plain: Callable[[], Tensor]
    forget: Callable[[], None]
    device: torch.device

    def steps(self) -> dict[str, Callable[[], Tensor]]:
        """Return the steps by name."""
        return {"plain": self.plain, "ours": self.ours}


def make_pair(config: Config) -> Pair:
    """Build both from the same weights; raises AssertionError where their first losses differ."""
    learner, batch = make_learner(config), make_batch(config)
    device = learner.world.device
    # built anew: a learner's layers may take other paths
    network = experiment.model(config, config.stack.slices, len(CLASSES)).to(device)
    network.load_state_dict(learner.model.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)

    def forget() -> None:
        optimizer.zero_grad()
        learner.optimizer.zero_grad()

    ours = partial(our_step, learner, batch)
    plain = partial(plain_step, network, optimizer, batch, device)
    first = float(ours()), float(plain())
    if abs(first[0] - first[1]) > SAME[device.type]:
        raise AssertionError(f"first losses of {config.model.name}: {first[0]}, plain {first[1]}")
    return Pair(ours, plain, forget, device)


def timed(pair: Pair, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return wall and processor seconds per step, taken in turn, after a step not timed."""
    count = STEPS[pair.device.type]
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in pair.steps()}
    for turn in range(rounds + 1):
        for name, step in pair.steps().items():
            start, spent = time.perf_counter(), time.process_time()
            for _ in range(count):
                loss = step()
            float(loss)  # waits for a GPU
            took = time.perf_counter() - start, time.process_time() - spent
            if turn:
                runs[name].append((took[0] / count, took[1] / count))
    return runs


def columns(runs: dict[str, list[tuple[float, float]]], gpu: bool) -> list[float]:
    """Return images/s of the fastest steps, and plain over ours: fastest, median, processor."""
    wall = {name: [seconds for seconds, _ in found] for name, found in runs.items()}
    spent = {name: min(seconds for _, seconds in found) for name, found in runs.items()}
    best = {name: min(found) for name, found in wall.items()}
    return [
        *(BATCH / best[name] for name in ("plain", "ours")),
        best["plain"] / best["ours"],
        median(wall["plain"]) / median(wall["ours"]),
        math.nan if gpu else spent["plain"] / spent["ours"],
    ]


def peak(pair: Pair, step: Callable[[], Tensor]) -> float:
    """Return the MB that one step adds to weights, moments and batch, gradients among them."""
    pair.forget()
    memory = PeakMemory(pair.device)
    step()
    return memory.growth()


def speed(quick: bool, device: str) -> str:
    """Measure all networks."""
    rows = []
    for model, size in CASES:
        config = read_config(model, size, device)
        pair = make_pair(config)
        runs = timed(pair, QUICK_ROUNDS if quick else ROUNDS)
        memory = [peak(pair, step) for step in pair.steps().values()]
        shown = f"{config.model.name}, {size[0]}x{size[1]}"
        rows.append([shown, *columns(runs, device == "cuda"), *memory])
    head = ["network", "plain, images/s", "ours, images/s", "ratio", "ratio of medians"]
    return table([*head, "ratio of processor time", "plain, MB", "ours, MB"], rows)


def write_cache(folder: Path) -> Path:
    """Draw a small phantom; return its cache."""
    write_folder(folder / "raw", cases=PATIENTS, seed=0, preset="small", workers=1)
    prepare(folder / "raw", folder / "cache", workers=1)
    return folder / "cache"


def waiting(quick: bool, device: str) -> str:
    """Train the demo's network for a while; say what share of the time it waited for batches."""
    steps, lines = QUICK_WAIT_STEPS if quick else WAIT_STEPS, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = write_cache(folder)
        for workers in WORKERS[device]:
            changes = [
                *(f"data.folder={cache}", "data.folds=2", f"runs={folder / str(workers)}"),
                *("train.epochs=null", f"train.steps={2 * steps}", "train.tensorboard=false"),
            ]
            # the second epoch is looked at: workers start in the first
            asked = [f"train.steps_per_epoch={steps}", f"train.workers={workers}"]
            row = train_fold(load(CONFIG, changes + settings(device) + asked), "full")
            lines.append(
                f"Waited for data in {steps} steps of `configs/demo.yaml` on a phantom, "
                f"train.workers {workers}: {row['data_wait']:.1%} of {row['seconds']:.1f} s.\n"
            )
    return "\n".join(lines)


def run(quick: bool) -> str:
    """Measure speed, memory and waiting, on a GPU where there is one."""
    device = init().device.type
    torch.set_num_threads(1)
    where = torch.cuda.get_device_name() if device == "cuda" else machine()
    return (
        "## Training step\n\n"
        f"Batches of {BATCH}, {len(CLASSES)} classes. Plain: float32, contiguous memory, torch's "
        f"AdamW. Ours: {', '.join(settings(device))}. {where}.\n\n"
        f"{speed(quick, device)}\n{waiting(quick, device)}"
    )


if __name__ == "__main__":
    main(run)
