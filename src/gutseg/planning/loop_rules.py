"""The rules on optimiser, loop and prediction."""

from gutseg.planning import derived as d
from gutseg.planning.fingerprint import Fingerprint
from gutseg.planning.rule import DEFAULT, Rule, always


def _followed(f: Fingerprint) -> str:
    if d.pretrained_pictures(f):
        return "configs/nuclei.yaml" if d.is_rare(f) else "configs/membrane.yaml"
    return "configs/bench/base/membrane.yaml"


LOOP_RULES = (
    Rule(
        "optim",
        d.has_gpu_and_volumes,
        {"warmup_epochs": 1},
        "Otherwise the defaults, as in configs/smp_unet.yaml for batches of 32.",
    ),
    Rule(
        "optim",
        lambda f: d.pretrained_pictures(f) and not d.region_alone(f),
        {"name": "adam", "lr": 3e-3, "weight_decay": 0.0},
        "As in configs/membrane.yaml, for those weights.",
    ),
    Rule(
        "optim",
        lambda f: d.is_pretrained(f) and f.volumes,
        {"lr": 4e-3, "warmup_epochs": 1},
        "The learning rate that configs/demo.yaml and real_scan.yaml have for those weights.",
    ),
    Rule(
        "optim",
        lambda f: f.volumes,
        {"lr": 3e-3, "warmup_epochs": 0.5},
        "As in the studies of docs/bench/networks.md.",
    ),
    Rule(
        "optim",
        d.region_alone,
        {"name": "adam", "lr": 2e-3, "weight_decay": 0.0},
        lambda f: (
            "As in configs/nuclei.yaml, for those weights."
            if d.is_pretrained(f)
            else "As in configs/bench/base/nuclei.yaml, with which the losses were compared."
        ),
    ),
    Rule(
        "optim",
        always,
        {"name": "adam", "lr": 5e-3, "weight_decay": 0.0},
        "5e-3 was better than 2e-3 in docs/bench/membrane.md.",
    ),
    Rule(
        "train.epochs",
        lambda f: not d.crops(f) and not f.volumes,
        d.passes,
        lambda f: f"Every image is seen as often as in {_followed(f)}.",
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
                else "configs/demo.yaml and real_scan.yaml make 500 and 600, in minutes. With more "
                "time give more."
            )
        ),
    ),
    Rule(
        "train.steps",
        d.crops,
        d.steps,
        lambda f: (
            f"The area of every training image is seen {d.passes(f)} times, as in {_followed(f)}."
        ),
    ),
    Rule(
        "train.steps_per_epoch", d.crops, lambda f: d.steps(f) // 4, "Four validations are enough."
    ),
    Rule(
        "train.batch_size",
        d.has_gpu,
        d.batch_size,
        lambda f: (
            f"{d.machine(f)}; configs/smp_unet.yaml has 32 for 16 GiB. Not tried here: halve "
            "it and give accumulate: 2 where memory ends."
        ),
    ),
    Rule(
        "train.batch_size", d.is_small, d.batch_size, lambda f: f"{d.machine(f)}: half the usual 8."
    ),
    Rule(
        "train.batch_size",
        always,
        d.batch_size,
        lambda f: f"{d.machine(f)}: as in every config that was measured on two cores.",
    ),
    Rule(
        "train.ema",
        d.has_gpu_and_volumes,
        lambda f: 0.999 if d.epochs(f) * d.seen(f) / d.batch_size(f) > 2000 else 0.98,
        "The mean over the last steps is kept, as in public solutions.",
    ),
    Rule(
        "train.ema",
        lambda f: d.pretrained_pictures(f) and not d.is_rare(f),
        0.99,
        "As in configs/membrane.yaml: no epoch has to be chosen.",
    ),
    Rule(
        "train.ema",
        d.is_pretrained,
        0.98,
        lambda f: (
            f"As in configs/{'demo.yaml and real_scan' if f.volumes else 'nuclei'}.yaml: no epoch "
            "has to be chosen."
        ),
    ),
    Rule(
        "train.clip_norm",
        d.has_gpu_and_volumes,
        1.0,
        "As in configs/smp_unet.yaml, against single bad batches.",
    ),
    Rule(
        "train.monitor",
        lambda f: f.volumes and f.groups < 2,
        None,
        "Folds hold blocks of slices, so distances along z mean little: the last weights stay.",
    ),
    Rule(
        "train.monitor",
        d.pretrained_pictures,
        None,
        "The averaged weights of the end: no epoch is picked on the images it is measured on.",
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
        d.has_gpu_and_volumes,
        lambda f: {"batch_size": d.batch_size(f), "tta": "hflip"},
        "A mirrored second look gained .001 to .002 in public solutions, and costs little here.",
    ),
    Rule(
        "predict",
        d.pretrained_pictures,
        {"tta": "flips"},
        "Four mirrored views: worth .002 of pixel accuracy and .003 of mean IoU in "
        "docs/bench/microscopy.md.",
    ),
    Rule(
        "predict",
        lambda f: f.volumes,
        DEFAULT,
        lambda f: (
            "Flips cost twice the time. A scan shows a class in at most "
            f"{max(one.pieces for one in f.objects):g} pieces at the median; below which size one "
            "is dropped, gutseg blend searches out of fold."
        ),
    ),
)
