"""Quantities of a plan that several rules share, each a function of the fingerprint alone."""

from math import sqrt

from gutseg.planning.fingerprint import Fingerprint

# where there are groups enough
FOLDS = 5
# a class of fewer of the pixels is rare
RARE = 0.02
# below this `gutseg doctor` advises one job and no workers
LITTLE_GIB = 4
# pixels of an input of volumes: half of those of demo.yaml, those of real_scan.yaml and of
# smp_unet.yaml
MANY_ON_CPU, FEW_ON_CPU, ON_GPU, ON_SMALL_GPU = 64 * 96, 128 * 176, 320 * 384, 224 * 256
# real_scan.yaml has 144 slices, the demo 1,100
MANY_IMAGES = 500
# GiB of a GPU that smp_unet.yaml is written for, nearly
LARGE_GPU = 12
# side of a crop: 256 was no better than 128 on membranes (docs/bench/membrane.md)
CROP = 128
# images of membrane.yaml (30) and nuclei.yaml (10) lie on either side
FEW_PICTURES = 20
# how often the area of every training image is seen: 58 times in bench/base/membrane.yaml; of those
# that start from ImageNet 42 times in membrane.yaml, 20 times in nuclei.yaml, with rare classes
PASSES, PRETRAINED_PASSES, RARE_PASSES = 60, 40, 20
# of smp_unet.yaml on the whole data: 25 epochs of 31,000 slices
GPU_STEPS = 24_000
# steps of demo.yaml and real_scan.yaml
CPU_STEPS = 500
# part of an epoch that empty slices are to be
EMPTY_PART = 0.25


def has_gpu(f: Fingerprint) -> bool:
    """Whether torch can compute on a GPU."""
    return f.machine.gpu_gib > 0


def machine(f: Fingerprint) -> str:
    """Return what the machine is, for a reason."""
    found = f.machine
    if has_gpu(f):
        return f"{found.gpu} of {found.gpu_gib:.0f} GiB"
    return f"{found.cores} core{'s' * (found.cores > 1)}, {found.memory_gib:.0f} GiB and no GPU"


def is_small(f: Fingerprint) -> bool:
    """Whether the machine is too small for what the demo trains."""
    return not has_gpu(f) and (f.machine.memory_gib < LITTLE_GIB or f.machine.cores < 2)


def is_rare(f: Fingerprint) -> bool:
    """Whether some object covers few of the pixels."""
    return f.rarest.share < RARE


def region_alone(f: Fingerprint) -> bool:
    """Whether a region loss without cross-entropy suits the classes."""
    return f.exclusive and is_rare(f)


def has_gpu_and_volumes(f: Fingerprint) -> bool:
    """Whether volumes are trained on a GPU."""
    return f.volumes and has_gpu(f)


def one_size(f: Fingerprint) -> bool:
    """Whether all planes have the same size."""
    return len(f.sizes) == 1


def crops(f: Fingerprint) -> bool:
    """Whether images stand alone and are larger than a crop."""
    return not f.volumes and not (one_size(f) and max(largest(f)) <= 1.5 * CROP)


def folds(f: Fingerprint) -> int:
    """Return how many folds the groups fill; 1 where nothing but slices can be held out."""
    return min(FOLDS, f.groups)


def weights(f: Fingerprint) -> str:
    """Return the row of packaged weights to start from, "" for none."""
    return f.machine.weights[0] if f.machine.weights and not is_small(f) else ""


def is_pretrained(f: Fingerprint) -> bool:
    """Whether packaged weights fill the encoder."""
    return bool(weights(f))


def pretrained_pictures(f: Fingerprint) -> bool:
    """Whether images that stand alone are shown to an encoder that packaged weights fill."""
    return is_pretrained(f) and not f.volumes


def passes(f: Fingerprint) -> int:
    """Return how often the area of every training image is seen."""
    if not pretrained_pictures(f):
        return PASSES
    return RARE_PASSES if is_rare(f) else PRETRAINED_PASSES


def budget(f: Fingerprint) -> int:
    """Return the pixels that an input of volumes may have."""
    if has_gpu(f):
        return ON_GPU if f.machine.gpu_gib >= LARGE_GPU else ON_SMALL_GPU
    if is_small(f):
        return MANY_ON_CPU
    return MANY_ON_CPU if f.images > MANY_IMAGES else FEW_ON_CPU


def largest(f: Fingerprint) -> tuple[int, int]:
    """Return the largest height and the largest width."""
    return max(height for height, _ in f.sizes), max(width for _, width in f.sizes)


def padded(f: Fingerprint) -> tuple[int, int]:
    """Return the multiples of 32 that hold every plane."""
    height, width = (-(-side // 32) * 32 for side in largest(f))
    return height, width


def fits(f: Fingerprint) -> bool:
    """Whether every plane, padded, is within the budget."""
    height, width = padded(f)
    return height * width <= budget(f)


def within(f: Fingerprint, box: tuple[int, int]) -> tuple[int, int]:
    """Return multiples of 16 of about a box's form, within the budget and 1.5 times the box."""
    limit = min(budget(f), round(2.25 * box[0] * box[1]))
    height = max(round(sqrt(limit * box[0] / box[1]) / 16), 1) * 16
    width = max(int(limit / height / 16), 1) * 16
    return height, width


def body_window(f: Fingerprint) -> tuple[int, int]:
    """Return the size of the body's window, of which 16 pixels are margin."""
    return within(f, (f.body[0] + 16, f.body[1] + 16))


def crop_side(f: Fingerprint) -> int:
    """Return the side of a crop: a usual one, more where pieces are large, not above the images.

    Also more for an encoder of packaged weights, unless rare classes want many crops in a batch.
    """
    piece = max(sqrt(one.piece_pixels) for one in f.objects)
    wanted = 2 * CROP if piece > CROP or (is_pretrained(f) and not is_rare(f)) else CROP
    return min(wanted, max(min(largest(f)) // 16 * 16, 16))


def batch_size(f: Fingerprint) -> int:
    """Return the images of a batch: 8 without a GPU, 4 large crops, 2 per GiB of one up to 32."""
    if not has_gpu(f):
        return 4 if is_small(f) or (crops(f) and crop_side(f) > CROP) else 8
    count = 4
    while count < min(2 * f.machine.gpu_gib * 1.05, 32):
        count *= 2
    return min(count, 32)


def empty_share(f: Fingerprint) -> float:
    """Return which part of the empty slices makes up EMPTY_PART of an epoch, at most 1."""
    empty = f.empty_share
    if empty <= EMPTY_PART:
        return 1.0
    return round(EMPTY_PART * (1 - empty) / ((1 - EMPTY_PART) * empty), 2)


def thins(f: Fingerprint) -> bool:
    """Whether an epoch sees a part of the empty slices alone."""
    return f.volumes and not has_gpu(f) and f.empty_share > 1 / 3


def seen(f: Fingerprint) -> float:
    """Return the slices of an epoch."""
    # blocks of the slices of one patient fill all folds
    training = f.images * (1 - 1 / (folds(f) if f.groups > 1 else FOLDS))
    if not thins(f):
        return training
    return training * (1 - f.empty_share * (1 - empty_share(f)))


def epochs(f: Fingerprint) -> int:
    """Return the epochs that make about as many steps as the config that is followed."""
    wanted, least, most = (GPU_STEPS, 25, 100) if has_gpu(f) else (CPU_STEPS, 5, 60)
    count = int(wanted * batch_size(f) / max(seen(f), 1))
    return min(max(count, least), most)


def steps(f: Fingerprint) -> int:
    """Return the steps that see the area of every training image `passes` times, in fours of 25."""
    area = sum(height * width * count for (height, width), count in f.sizes.items())
    training = area * (1 - 1 / folds(f))
    wanted = passes(f) * training / (batch_size(f) * crop_side(f) ** 2)
    return max(round(wanted / 100), 1) * 100
