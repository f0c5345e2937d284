"""The rules on network, loss, optimiser and loop."""

from gutseg.planning import derived as d
from gutseg.planning.fingerprint import Fingerprint
from gutseg.planning.input_rules import crops
from gutseg.planning.rule import DEFAULT, Rule, always

HYBRID = {"norm": "batch", "local_levels": [2], "external_levels": [3]}
DECODER = {"decoder_channels": [128, 64, 32, 16, 16]}


def _pretrained(f: Fingerprint) -> bool:
    return bool(d.weights(f))


def _gpu_volumes(f: Fingerprint) -> bool:
    return f.volumes and d.has_gpu(f)


def _region_alone(f: Fingerprint) -> bool:
    return f.exclusive and d.is_rare(f)


def _rarest(f: Fingerprint) -> str:
    return f"{f.rarest.name} covers {f.rarest.share:.2%} of the pixels"


def _few(f: Fingerprint) -> bool:
    return f.images < d.FEW_PICTURES


def _machine(f: Fingerprint) -> str:
    machine = f.machine
    if d.has_gpu(f):
        return f"{machine.gpu} of {machine.gpu_gib:.0f} GiB"
    return f"{machine.cores} cores, {machine.memory_gib:.0f} GiB and no GPU"


MODEL_RULES = (
    Rule(
        "model.name",
        lambda f: _pretrained(f) or _gpu_volumes(f),
        "smp",
        lambda f: (
            "A U-Net on an encoder that starts from ImageNet, whose weights are installed."
            if _pretrained(f)
            else f"{_machine(f)}: the U-Net of configs/smp_unet.yaml."
        ),
    ),
    Rule(
        "model.name",
        lambda f: f.volumes,
        "hybrid_unet",
        lambda f: (
            f"{_machine(f)}, no packaged weights: the network of configs/demo.yaml, the quickest "
            "of its score in docs/bench/networks.md."
        ),
    ),
    Rule(
        "model.name", always, "unet", "A small U-Net, as in configs/membrane.yaml and nuclei.yaml."
    ),
    Rule(
        "model.params",
        _pretrained,
        lambda f: {
            "architecture": "Unet",
            "encoder": f"tu-tf_{d.weights(f)}",
            "options": DECODER,
        },
        "The encoder of those weights; the narrow decoder of configs/real_scan.yaml.",
    ),
    Rule(
        "model.params",
        _gpu_volumes,
        {"architecture": "Unet", "encoder": "tu-tf_efficientnet_b1"},
        "The encoder of the competition's popular notebooks, here from random weights.",
    ),
    Rule(
        "model.params",
        lambda f: f.volumes and d.is_small(f),
        {"widths": [8, 16, 24, 32], **HYBRID},
        lambda f: f"{_machine(f)}: half the demo's widths.",
    ),
    Rule(
        "model.params",
        lambda f: f.volumes,
        {"widths": [16, 32, 48, 64], **HYBRID},
        "The demo's widths.",
    ),
    Rule(
        "model.params",
        d.is_small,
        {"widths": [8, 16, 32], "norm": "batch"},
        lambda f: f"{_machine(f)}: half the usual widths.",
    ),
    Rule(
        "model.params",
        _few,
        {"widths": [16, 32, 64], "norm": "batch"},
        lambda f: f"{f.images} images are little to learn from: three levels, as in nuclei.yaml.",
    ),
    Rule(
        "model.params",
        always,
        {"widths": [16, 32, 64, 128], "norm": "batch"},
        lambda f: f"{f.images} images: four levels, as in membrane.yaml.",
    ),
    Rule(
        "model.encoder_weights",
        _pretrained,
        lambda f: f"package:{d.weights(f)}",
        "In a trial on two folds of one real scan, one seed, Dice at the end was .84 and .76 "
        "with them, a log-odds bias and ema; .75 on the first with a random ResNet-18.",
    ),
    Rule(
        "model.initial_bias",
        lambda f: d.is_rare(f) and not _region_alone(f),
        "log_odds",
        lambda f: f"{_rarest(f)}: no steps are spent to learn that most pixels show nothing.",
    ),
    Rule(
        "model.presence",
        lambda f: _gpu_volumes(f) and f.empty_share > 1 / 3,
        {"weight": 0.2},
        lambda f: (
            f"{f.empty_share:.0%} of the slices show no object, and a GPU has time for them all: a "
            "head learns which, for a gate that gutseg blend may open; public solutions gained "
            "some .006."
        ),
    ),
    Rule(
        "loss",
        _region_alone,
        {"name": "tversky"},
        lambda f: (
            f"Classes exclude each other, and {_rarest(f)}: .060 ± .039 of mean IoU above "
            "cross-entropy in docs/bench/losses_nuclei.md, ce + dice .026 below it."
        ),
    ),
    Rule(
        "loss",
        lambda f: f.exclusive,
        {"name": "weighted_sum", "params": {"terms": [{"loss": "ce"}, {"loss": "dice"}]}},
        lambda f: (
            f"Classes exclude each other; the rarest, {_rarest(f)}: cross-entropy over all, "
            "and Dice beside it."
        ),
    ),
    Rule(
        "loss",
        lambda f: len(f.objects) == 1 and not d.is_rare(f),
        {"name": "bce"},
        lambda f: (
            f"One class; {_rarest(f)}: plain cross-entropy had the best pixel accuracy in "
            "docs/bench/membrane.md."
        ),
    ),
    Rule(
        "loss",
        always,
        {"name": "bce_dice", "params": {"dice_weight": 1.0}},
        lambda f: (
            f"Classes may overlap: a sigmoid each; {_rarest(f)}: Dice copes with the small, "
            "cross-entropy sees the empty slices; as in configs/demo.yaml."
        ),
    ),
)

LOOP_RULES = (
    Rule(
        "optim",
        _gpu_volumes,
        {"warmup_epochs": 1},
        "Otherwise the defaults, as in configs/smp_unet.yaml for batches of 32.",
    ),
    Rule(
        "optim",
        _pretrained,
        {"lr": 4e-3, "warmup_epochs": 1},
        "The learning rate of the trial of those weights.",
    ),
    Rule(
        "optim",
        lambda f: f.volumes,
        {"lr": 3e-3, "warmup_epochs": 0.5},
        "As in configs/demo.yaml.",
    ),
    Rule(
        "optim",
        _region_alone,
        {"name": "adam", "lr": 2e-3, "weight_decay": 0.0},
        "As in configs/nuclei.yaml, with which the losses were compared.",
    ),
    Rule(
        "optim",
        always,
        {"name": "adam", "lr": 5e-3, "weight_decay": 0.0},
        "5e-3 was better than 2e-3 in docs/bench/membrane.md.",
    ),
    Rule(
        "train.epochs",
        lambda f: not crops(f) and not f.volumes,
        d.PASSES,
        "Every image is seen as often as in configs/membrane.yaml.",
    ),
    Rule(
        "train.epochs",
        lambda f: f.volumes,
        d.epochs,
        lambda f: (
            f"{d.seen(f):.0f} slices an epoch, {d.epochs(f) * d.seen(f) / d.batch_size(f):.0f} "
            "steps in all; "
            + (
                "configs/smp_unet.yaml makes 24,000, of all the competition's data."
                if d.has_gpu(f)
                else "configs/demo.yaml and real_scan.yaml make 500, in minutes. With more time "
                "give more."
            )
        ),
    ),
    Rule(
        "train.steps",
        crops,
        d.steps,
        lambda f: (
            f"The area of every training image is seen {d.PASSES} times, as in "
            "configs/membrane.yaml."
        ),
    ),
    Rule("train.steps_per_epoch", crops, lambda f: d.steps(f) // 4, "Four validations are enough."),
    Rule("train.batch_size", always, d.batch_size, lambda f: f"{_machine(f)}."),
    Rule(
        "train.ema",
        _gpu_volumes,
        lambda f: 0.999 if d.epochs(f) * d.seen(f) / d.batch_size(f) > 2000 else 0.98,
        "The mean over the last steps is kept, as in public solutions.",
    ),
    Rule(
        "train.ema",
        _pretrained,
        0.98,
        "As in the trial of those weights: with it the last epoch was as good as the best.",
    ),
    Rule(
        "train.clip_norm",
        _gpu_volumes,
        1.0,
        "As in configs/smp_unet.yaml, against single bad batches.",
    ),
    Rule(
        "train.monitor",
        lambda f: f.volumes and f.groups < 2,
        None,
        "Folds hold blocks of slices, so distances along z mean little: the last weights stay.",
    ),
    Rule("train.monitor", lambda f: not f.volumes, "pooled.iou", "There are no volumes to score."),
    Rule(
        "train.score_every",
        lambda f: f.volumes and not d.has_gpu(f),
        d.epochs,
        "Distances cost more than an epoch: only at the end, which chooses the last weights.",
    ),
    Rule("train.amp", d.has_gpu, DEFAULT, "Mixed precision, which the GPU has."),
    Rule(
        "train.channels_last",
        always,
        True,
        "On a CPU a step takes a quarter less time; GPUs gain in mixed precision.",
    ),
    Rule(
        "train.workers",
        d.has_gpu,
        lambda f: min(8, f.machine.cores),
        lambda f: f"{f.machine.cores} cores make batches while the GPU computes.",
    ),
    Rule(
        "predict",
        _gpu_volumes,
        lambda f: {"batch_size": d.batch_size(f), "tta": "hflip"},
        "A mirrored second look gained .001 to .002 in public solutions, and costs little here.",
    ),
)
