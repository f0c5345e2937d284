"""Facts of the competition that every layer shares."""

COMPETITION = "uw-madison-gi-tract-image-segmentation"

# The order of the rows of one slice in train.csv and in the sample submission.
CLASSES = ("large_bowel", "small_bowel", "stomach")

# score = 0.4 · Dice + 0.6 · (1 − normalised 3-D Hausdorff distance), the competition's page.
DICE_WEIGHT = 0.4
HAUSDORFF_WEIGHT = 0.6

# (width, height): slices in the training set. File names carry the width first.
NATIVE_SIZES = {(266, 266): 25_920, (360, 310): 11_232, (276, 276): 1_200, (234, 234): 144}

# From slice to slice in mm: the competition's page; file names only know the edges within a slice.
SLICE_MM = 3.0
# Distance of neighbouring pixels of nearly all scans, for lists of slices that do not say it.
PIXEL_MM = 1.5

# Scans with faulty masks. Off by default; a config names a list under `data.params.blacklist`.
BLACKLISTS = {
    # [Carno 2022], data_preprocess.py (1st place); also dropped by most others
    "winners2": ("case7_day0", "case81_day30"),
    # [Hesene 2022], 3rd place
    "third5": ("case7_day0", "case81_day30", "case138_day0", "case43_day18", "case43_day26"),
    # the host's own evaluation: happyharrycn/UW-Madison-GI-Tract-Segmentation-Data-Tools
    "host12": (
        *("case61_day14", "case9_day27", "case7_day0", "case81_day30", "case43_day18"),
        *("case138_day0", "case34_day20", "case43_day26", "case124_day19", "case144_day15"),
        *("case83_day11", "case13_day0"),
    ),
}
