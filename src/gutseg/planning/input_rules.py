"""The rules on what a network sees: folds, slices, grey values, windows, d.crops, augmentation."""

from gutseg.planning import derived as d
from gutseg.planning.fingerprint import Fingerprint
from gutseg.planning.rule import DEFAULT, Rule, always

# scans whose bright ends differ by less, and clip less, lose nothing by their largest value
ALIKE = 1.2


def _blocks(f: Fingerprint) -> bool:
    return f.groups < 2


def _size(sides: tuple[int, int]) -> str:
    return f"{sides[0]} x {sides[1]}"


def _limits(f: Fingerprint) -> str:
    """Say what bounds an input's size."""
    return f"at most {d.budget(f):,} pixels on this machine, and 1.5 times the box a side"


def _apart(f: Fingerprint) -> str:
    millimetres = sorted({z for z, _, _ in f.spacings})
    return f", {' or '.join(f'{z:g}' for z in millimetres)} mm apart" if millimetres else ""


def _days(f: Fingerprint) -> str:
    if f.most_days > 1:
        return (
            f"{f.scans} scans of {f.groups} patients, up to {f.most_days} days of one: folds hold "
            "whole patients, or a network would be scored on people it has seen."
        )
    what = "patients" if f.volumes else "groups of images"
    return f"{f.groups} {what}, none of which a fold divides."


def _greys(f: Fingerprint) -> str:
    values = [one.high for one in f.greys]
    if len(values) == 1:
        return f"the 99.5th percentile of the only scan is {values[0]:g}"
    return (
        f"the 99.5th percentiles of {len(values)} scans run from {min(values):g} to {max(values):g}"
    )


INPUT_RULES = (
    Rule(
        "data.folds",
        _blocks,
        lambda f: "folds/blocks.csv",
        "One patient alone: blocks of its slices are held out, a check of learning and no estimate "
        "for others; first run: gutseg split FOLDER --block 3 --out folds/blocks.csv",
    ),
    Rule("data.folds", always, d.folds, _days),
    Rule(
        "data.empty_share",
        d.thins,
        d.empty_share,
        lambda f: (
            f"{f.empty_share:.0%} of the slices show no object; drawn anew every epoch, they are "
            f"to be {d.EMPTY_PART:.0%} of it: shorter epochs, as in configs/demo.yaml and "
            "real_scan.yaml."
        ),
    ),
    Rule(
        "data.empty_share",
        always,
        DEFAULT,
        lambda f: f"{f.empty_share:.0%} of the images show no object; an epoch sees them all.",
    ),
    Rule(
        "stack",
        lambda f: f.volumes and f.depth < 3,
        {"slices": 1},
        lambda f: f"Scans of {f.depth} slices have no neighbours worth a channel.",
    ),
    Rule(
        "stack",
        lambda f: f.volumes and f.depth < 10,
        {"slices": 3},
        lambda f: f"Scans of {f.depth} slices: one neighbour on either side.",
    ),
    Rule(
        "stack",
        lambda f: f.volumes,
        DEFAULT,
        lambda f: (
            f"Scans of {f.depth} slices{_apart(f)}: two neighbours on either side; "
            "2.5-D gained .02 on the competition's leaderboards."
        ),
    ),
    Rule(
        "scaling",
        lambda f: f.volumes and f.grey_spread < ALIKE and f.outlier_ratio < ALIKE,
        {"kind": "scan"},
        lambda f: (
            f"Scans agree ({_greys(f)}) and no voxel is above {f.outlier_ratio:.2f} times that: "
            "there is nothing to clip."
        ),
    ),
    Rule(
        "scaling",
        lambda f: f.volumes,
        DEFAULT,
        lambda f: (
            f"{_greys(f)[0].upper()}{_greys(f)[1:]}, and the brightest voxels reach "
            f"{f.outlier_ratio:.1f} times that: percentiles of every scan by itself."
        ),
    ),
    Rule(
        "geometry",
        lambda f: not d.crops(f) and d.one_size(f) and (not f.volumes or d.fits(f)),
        lambda f: {"kind": "pad", "size": list(d.padded(f))},
        lambda f: (
            f"All images are {_size(d.largest(f))}, few pixels: padded to multiples of 32, nothing "
            "is resampled."
        ),
    ),
    Rule(
        "geometry",
        lambda f: not f.volumes,
        {"kind": "native"},
        lambda f: f"Images up to {_size(d.largest(f))} stand alone: crops of them, not resampled.",
    ),
    Rule(
        "geometry",
        lambda f: not d.one_size(f),
        lambda f: {"kind": "body", "size": list(d.body_window(f))},
        lambda f: (
            f"{len(f.sizes)} sizes up to {_size(d.largest(f))}: the body, {_size(f.body)} at the "
            f"median, is cut out: {_limits(f)}."
        ),
    ),
    Rule(
        "geometry",
        lambda f: f.body[0] * f.body[1] < 0.8 * d.largest(f)[0] * d.largest(f)[1],
        lambda f: {"kind": "body", "size": list(d.body_window(f))},
        lambda f: (
            f"{_size(d.largest(f))} is too large, and the body fills {_size(f.body)} of it. It is "
            f"cut out: {_limits(f)}."
        ),
    ),
    Rule(
        "geometry",
        always,
        lambda f: {"kind": "resize", "size": list(d.within(f, d.largest(f)))},
        lambda f: (
            f"{_size(d.largest(f))} is too large, and the body fills it: the whole slice is shrunk "
            f"to at most {d.budget(f):,} pixels, for this machine."
        ),
    ),
    Rule(
        "crop",
        d.crops,
        lambda f: {"size": [d.crop_side(f)] * 2},
        lambda f: (
            f"{f.images} images up to {_size(d.largest(f))} whose pieces have up to "
            f"{max(one.piece_pixels for one in f.objects):,.0f} pixels on average: "
            + (
                "crops show them whole; 256 was no better than 128 in docs/bench/membrane.md."
                if d.crop_side(f) <= d.CROP
                else "the larger crop, as in configs/membrane.yaml."
                if d.is_pretrained(f)
                else f"the larger crop, as {d.CROP} would cut them."
            )
        ),
    ),
    Rule(
        "augment",
        lambda f: not f.volumes and f.channels == 3,
        DEFAULT,
        "Colour images: flips and turns of the crops alone, as in configs/nuclei.yaml.",
    ),
    Rule(
        "augment",
        lambda f: f.volumes and f.groups > 1,
        {"name": "mild_elastic"},
        lambda f: (
            f"{f.groups} patients are other shapes than the next one: .796 of score on a fold of "
            "the phantom, .777 without the small shifts and turns: docs/bench/recipe.md."
        ),
    ),
    Rule(
        "augment",
        always,
        {"name": "mild"},
        lambda f: (
            "Safe changes alone, as in configs/real_scan.yaml."
            if f.volumes
            else "Grey images: worth .013 of pixel accuracy on one of two folds of "
            "docs/bench/membrane.md, nothing on the other."
        ),
    ),
)
