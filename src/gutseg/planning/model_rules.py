"""The rules on network and loss."""

from gutseg.planning import derived as d
from gutseg.planning.fingerprint import Fingerprint
from gutseg.planning.rule import Rule, always

HYBRID = {"norm": "batch", "local_levels": [2], "external_levels": [3]}
DECODER = {"decoder_channels": [128, 64, 32, 16, 16]}
PICTURE_DECODER = {"decoder_channels": [64, 48, 32, 24, 16]}


def _rarest(f: Fingerprint) -> str:
    return f"{f.rarest.name} covers {f.rarest.share:.2%} of the pixels"


MODEL_RULES = (
    Rule(
        "model.name",
        lambda f: d.is_pretrained(f) or d.has_gpu_and_volumes(f),
        "smp",
        lambda f: (
            "A U-Net on an encoder that starts from ImageNet, whose weights are installed."
            if d.is_pretrained(f)
            else f"{d.machine(f)}: the U-Net of configs/smp_unet.yaml."
        ),
    ),
    Rule(
        "model.name",
        lambda f: f.volumes,
        "hybrid_unet",
        lambda f: (
            f"{d.machine(f)}, "
            + ("too small for the packaged encoder" if f.machine.weights else "no packaged weights")
            + ": a small hybrid U-Net, the quickest of its score in docs/bench/networks.md."
        ),
    ),
    Rule("model.name", always, "unet", "The small U-Net of configs/bench/base/."),
    Rule(
        "model.params",
        d.is_pretrained,
        lambda f: {
            "architecture": "Unet",
            "encoder": f"tu-tf_{d.weights(f)}",
            "options": DECODER if f.volumes else PICTURE_DECODER,
        },
        lambda f: (
            "The encoder of those weights; the narrow decoder of "
            + ("configs/real_scan.yaml." if f.volumes else "configs/membrane.yaml and nuclei.yaml.")
        ),
    ),
    Rule(
        "model.params",
        d.has_gpu_and_volumes,
        {"architecture": "Unet", "encoder": "tu-tf_efficientnet_b1"},
        "The encoder of the competition's popular notebooks, here from random weights.",
    ),
    Rule(
        "model.params",
        lambda f: f.volumes and d.is_small(f),
        {"widths": [8, 16, 24, 32], **HYBRID},
        lambda f: f"{d.machine(f)}: half the widths that it was measured with.",
    ),
    Rule(
        "model.params",
        lambda f: f.volumes,
        {"widths": [16, 32, 48, 64], **HYBRID},
        "The widths that it was measured with.",
    ),
    Rule(
        "model.params",
        d.is_small,
        {"widths": [8, 16, 32], "norm": "batch"},
        lambda f: f"{d.machine(f)}: half the usual widths.",
    ),
    Rule(
        "model.params",
        lambda f: f.images < d.FEW_PICTURES,
        {"widths": [16, 32, 64], "norm": "batch"},
        lambda f: f"{f.images} images are few: three levels, as in bench/base/nuclei.yaml.",
    ),
    Rule(
        "model.params",
        always,
        {"widths": [16, 32, 64, 128], "norm": "batch"},
        lambda f: f"{f.images} images: four levels, as in bench/base/membrane.yaml.",
    ),
    Rule(
        "model.encoder_weights",
        d.is_pretrained,
        lambda f: f"package:{d.weights(f)}",
        lambda f: (
            "On two folds of the phantom, one seed, they, a log-odds bias and ema had a score of "
            ".76, the hybrid U-Net before them .74: docs/bench/recipe.md."
            if f.volumes
            else "A pixel accuracy as after a training of twice the time from random weights, one "
            "fold, one seed, and on nuclei a mean IoU of .40 in place of .35: "
            "docs/bench/microscopy.md."
        ),
    ),
    Rule(
        "model.initial_bias",
        d.pretrained_pictures,
        "log_odds",
        "As in configs/membrane.yaml and nuclei.yaml.",
    ),
    Rule(
        "model.initial_bias",
        lambda f: d.is_rare(f) and not d.region_alone(f),
        "log_odds",
        lambda f: f"{_rarest(f)}: no steps are spent to learn that most pixels show nothing.",
    ),
    Rule(
        "model.presence",
        lambda f: d.has_gpu_and_volumes(f) and f.empty_share > 1 / 3,
        {"weight": 0.2},
        lambda f: (
            f"{f.empty_share:.0%} of the slices show no object, and a GPU has time for them all: a "
            "head learns which, beside the masks; with ema such heads gained .006 in public "
            "solutions. Its gate stays off."
        ),
    ),
    Rule(
        "model.presence",
        lambda f: d.is_pretrained(f) and f.volumes and f.empty_share > 1 / 3,
        {"gate": "multiply"},
        lambda f: (
            f"{f.empty_share:.0%} of the slices show no object: a head says which, and its gate "
            "was worth .026 of score on two folds of the phantom, one seed: docs/bench/recipe.md."
        ),
    ),
    Rule(
        "loss",
        d.region_alone,
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
            "cross-entropy sees the empty slices; as in configs/real_scan.yaml."
        ),
    ),
)
