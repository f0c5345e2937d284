"""Numbers that thesis 000, course paper 001, report 002 and paper 003 print, to stand beside ours.

Thesis 000 has its precision and recall swapped in every table: row ③ of its Table 4.12 is the
predictor of background alone, whose mean recall is 1/7 = .1429, printed under precision, and
its Table 4.19 is possible only with the background's columns swapped too. Here a column is
called what it holds, so `recall` is what the thesis prints third and calls mAP.
Networks and losses are named as seed_rows.network_key and loss_key name them.
"""

from collections.abc import Sequence

Row = dict[str, float]
Table = dict[str | tuple[str, str], Row]

FOCAL, FOCAL_5 = "focal_softmax:inverse", "focal_softmax:falling_foreground"
OB, OB_4096 = "online_bootstrapping:512", "online_bootstrapping:4096"
_PARTS = {"CE": "ce", "D": "dice", "T": "tversky", "F": FOCAL, "OB": OB, "F5": FOCAL_5}
_PARTS |= {"OB4096": OB_4096}

FOUR = ("dice", "iou", "recall", "precision")
THREE = FOUR[1:]
NUCLEI = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
NUCLEI = (*NUCLEI, "background")


def sum_key(parts: Sequence[str]) -> str:
    """Return the name of a sum of losses, whatever their order."""
    return "+".join(sorted(parts))


def _numbers(words: Sequence[str]) -> list[float]:
    return [float("nan") if word == "-" else float(word) for word in words]


def _combinations(text: str, columns: Sequence[str]) -> Table:
    """Read lines of network, loss, numbers."""
    table = {}
    for line in text.strip().splitlines():
        network, loss, *words = line.split()
        key = sum_key([_PARTS[part] for part in loss.split("+")])
        table[network, key] = dict(zip(columns, _numbers(words), strict=True))
    return table


def _two(text: str, columns: Sequence[str]) -> dict[str, Table]:
    """Read lines of a key, numbers of CoNIC, numbers of MoNuSAC."""
    tables = {"CoNIC": {}, "MoNuSAC": {}}
    for line in text.strip().splitlines():
        key, *words = line.split()
        values = _numbers(words)
        for place, table in enumerate(tables.values()):
            part = values[place * len(columns) : (place + 1) * len(columns)]
            table[key] = dict(zip(columns, part, strict=True))
    return tables


# Tables 4.3 and 4.4, 4.6 and 4.7.
NETWORKS = {
    "CoNIC": _combinations(
        """
        deeplab D .6167 .2640 .4043 .3032
        attunet D .6045 .2683 .3525 .3521
        unet3+ D .4978 .1705 .2049 .2722
        unet++ D .5248 .1955 .2424 .2746
        unet D .4102 .2231 .2996 .3899
        deeplab F .2823 .1314 .2944 .2484
        attunet F .2957 .1644 .2866 .3018
        unet3+ F .3363 .1916 .3487 .2959
        unet++ F .3962 .2279 .3695 .3395
        unet F .3360 .1924 .3400 .3020
        deeplab CE .5034 .1678 .1945 .2050
        deeplab T .5857 .2408 .4074 .2790
        deeplab OB .4023 .1076 .1405 .1257
        attunet CE .5459 .2218 .2651 .2969
        attunet T .5905 .2444 .3279 .3584
        attunet OB .2849 .0644 .1540 .1561
        """,
        FOUR,
    ),
    "MoNuSAC": _combinations(
        """
        deeplab D .5510 .2328 .2838 .3120
        attunet D .4340 .2408 .3495 .3535
        unet3+ D .3383 .1987 .2840 .2773
        unet++ D .2786 .2138 .2650 .3231
        unet D .3077 .2390 .3134 .3769
        deeplab F .2808 .0370 .1465 .0393
        attunet F .3254 .1324 .2061 .2387
        unet3+ F .2951 .1208 .2121 .2505
        unet++ F .3173 .1515 .2287 .2652
        unet F .2475 .1019 .1933 .2303
        attunet CE .5600 .2188 .2746 .2730
        attunet T .3065 .2004 .2829 .2877
        attunet OB .2110 .1729 .2867 .2408
        unet CE .5466 .2237 .2944 .2728
        unet T .3619 .2296 .3343 .2881
        unet OB .1969 .1433 .1769 .1732
        """,
        FOUR,
    ),
}

# Tables 4.5 and 4.9.
PER_CLASS = {
    "CoNIC": _combinations(
        """
        deeplab CE 0 .3592 0 0 0 0 .8682
        deeplab F .0131 .2905 .1047 .0268 .0057 .0460 .4319
        attunet CE 0 .2699 .316 .0463 0 0 .8860
        attunet F .0071 .2024 .1506 .0609 .0207 .1186 .6167
        deeplab D 0 .4429 .2676 0 0 .2858 .8522
        attunet D 0 .3975 .3731 0 0 .2325 .8750
        deeplab D+F 0 .4290 .2657 0 0 .2671 .8558
        attunet D+F 0 .3318 .3793 .0997 0 .2483 .8800
        """,
        [f"iou.{key}" for key in NUCLEI],
    )
}

# Tables 4.8 and 4.10. The first has its mIoU by another definition than Table 4.3.
SUMS = {
    "CoNIC": _combinations(
        """
        deeplab D .6167 .4002 .6241 .5765
        attunet D .6045 .4000 .5447 .6622
        deeplab F .2823 .1466 .4364 .2938
        attunet F .2957 .1988 .5447 .3579
        deeplab D+F .6148 .3396 .5908 .6029
        attunet D+F .6115 .4034 .5505 .6263
        deeplab D+OB .4591 .2328 .3603 .5599
        attunet D+OB .4178 .2222 .2896 .5252
        deeplab F+OB .4122 .1929 .2556 .5431
        attunet F+OB .2154 .1254 .2575 .2088
        deeplab D+F+OB .4503 .2221 .3522 .5433
        attunet D+F+OB .4258 .2327 .3509 .3967
        """,
        FOUR,
    ),
    "MoNuSAC": _combinations(
        """
        unet D .3077 .2390 .3134 .3769
        attunet D .4340 .2408 .3495 .3535
        unet F .2475 .1019 .1933 .2303
        attunet F .3254 .1324 .2061 .2387
        unet D+F .2991 .2237 .2967 .2728
        attunet D+F .2909 .2250 .2785 .3725
        """,
        FOUR,
    ),
}

# Table 4.12, with Attention U-Net and the focal loss.
WEIGHT_FUNCTIONS = _two(
    """
    uniform .2105 .2534 .2919 .1903 .2404 .2441
    inverse .1758 .2959 .3088 .1308 .1959 .2350
    rising .1200 .1429 .1200 .1643 .2000 .1643
    falling_foreground .2768 .3611 .3911 .1917 .2613 .2608
    falling_no_background .0482 .2561 .0590 .0358 .1033 .0622
    """,
    THREE,
)

# Table 4.13; the thesis does not say with which network.
BOOTSTRAPPING = _two(
    """
    512 .1075 .1607 .1928 .0907 .1107 .2387
    1024 .1358 .1843 .1916 .1851 .2758 .2654
    2048 .1269 .1591 .1492 .1573 .1918 .1681
    4096 .1739 .2327 .2680 - - -
    8192 .1573 .1972 .2319 .1202 .1506 .1644
    16384 .1199 .1427 .1324 .1382 .1707 .1676
    32768 - - - .1148 .1544 .1988
    65536 - - - .1650 .2003 .1844
    """,
    THREE,
)

# Tables 4.15 to 4.18.
COMBINATIONS = {
    "CoNIC": _combinations(
        """
        attunet D .5938 .2663 .3546 .3659
        attunet D+OB4096 .4872 .1619 .2222 .2250
        attunet F5+D .6008 .2656 .3511 .3710
        attunet F5+D+OB4096 .5022 .1802 .2168 .3335
        deeplab D .6234 .2686 .3977 .3114
        deeplab D+OB4096 .4563 .1373 .1636 .2250
        deeplab F5+D .6227 .2703 .4010 .3093
        deeplab F5+D+OB4096 .4534 .1342 .1578 .2202
        """,
        FOUR,
    ),
    "MoNuSAC": _combinations(
        """
        attunet D .4340 .2408 .3495 .3535
        attunet D+OB4096 .4773 .1774 .2238 .2132
        unet D .3077 .2390 .3134 .3769
        unet D+OB4096 .4602 .1930 .2619 .3035
        """,
        FOUR,
    ),
}

# Table 4.19: Dice and IoU of the foreground. Precision and recall must be means over both classes:
# the foreground's own follow from the background's as about .51 and .93, its Dice then as .66.
BINARY = {
    name: dict(
        zip((*FOUR, "recall.background", "precision.background"), _numbers(words), strict=True)
    )
    for name, words in {
        "CoNIC": (".6681", ".5206", ".8543", ".7756", ".8319", ".9849"),
        "MoNuSAC": (".6247", ".4721", ".7788", ".7959", ".8366", ".9552"),
    }.items()
}

# Tables 4.20 and 4.21.
REUSE = _two(
    """
    plain .6227 .2703 .4010 .3093 .4340 .2408 .3495 .3535
    reuse .6509 .300 .3915 .3611 .4655 .2581 .3716 .3789
    """,
    FOUR,
)

# Table 4.1 (percent) and the weights of Tables 3.2 and 4.11, in the order of NUCLEI.
SHARES = (0.126, 10.308, 1.855, 0.551, 0.103, 3.081, 83.975)
WEIGHTS = {
    "inverse": (0.39031, 0.00473, 0.02632, 0.08854, 0.47268, 0.01584, 0.00058),
    "falling": (0.1746, 0.1324, 0.1666, 0.1726, 0.1747, 0.1611, 0.0179),
    "falling_foreground": (0.2189, 0.0389, 0.1633, 0.2037, 0.2198, 0.1326, 0.0228),
    "falling_no_background": (0.2240, 0.0398, 0.1671, 0.2084, 0.2249, 0.1357, 0),
}
# Table 3.3: foreground and background.
BINARY_WEIGHTS = (0.83977, 0.16023)

# Course paper 001, table 8: the best value of each measure, and that of the best-loss epoch.
# The accuracy of BCE repeats its Dice, and IoU is above Dice in every row: slips of the print.
PAPER_LOSSES = {
    "best": {
        "bce": {"dice_fg": 0.6786, "iou_fg": 0.7305, "accuracy": 0.6786},
        "soft_dice_001": {"dice_fg": 0.448, "iou_fg": 0.5678, "accuracy": 0.9683},
        "bce_dice:1": {"dice_fg": 0.6957, "iou_fg": 0.7665, "accuracy": 0.8628},
        "bce_dice:0.5": {"dice_fg": 0.7006, "iou_fg": 0.7699, "accuracy": 0.9287},
    },
    "at the lowest loss": {
        "bce": {"dice_fg": 0.4241, "iou_fg": 0.3747, "accuracy": 0.4241},
        "soft_dice_001": {"dice_fg": 0.4458, "iou_fg": 0.5309, "accuracy": 0.9548},
        "bce_dice:1": {"dice_fg": 0.6957, "iou_fg": 0.7631, "accuracy": 0.1534},
        "bce_dice:0.5": {"dice_fg": 0.7006, "iou_fg": 0.7576, "accuracy": 0.6449},
    },
}

# Epoch of the lowest loss.
PAPER_EPOCHS = {"bce": 25, "soft_dice_001": 37, "bce_dice:1": 36, "bce_dice:0.5": 19}

# Course paper 001, sections V.C to V.E. Without augmentation it stopped 5 epochs after its best,
# the 6th. Dice and IoU of the depths are "near" these values.
AUGMENTATION = {
    "off": {"dice_fg": 0.5, "iou_fg": 0.6, "epoch": 6, "epochs": 11},
    "on": {"dice_fg": 0.7006, "iou_fg": 0.7699, "epoch": 19, "epochs": 34},
}
DEPTH = {
    "unet4": {"parameters": 2.50, "dice_fg": 0.70, "iou_fg": 0.75, "epoch": 27, "epochs": 39},
    "unet5": {"parameters": 5.72, "dice_fg": 0.70, "iou_fg": 0.75, "epoch": 19, "epochs": 34},
}

# Course paper 001, tables 3 to 6.
SLICES = {"slices": 38496, "without a mask": 21906, "with a mask": 16590, "cases": 85}
SCANS_PER_CASE = {1: 9, 2: 8, 3: 45, 4: 2, 5: 20, 6: 1}
SIDES = {"266×266": 25920, "310×360": 11232, "276×276": 1200, "234×234": 144}
ORGANS = ("stomach", "large bowel", "small bowel")
COOCCURRENCE = ((8627, 6181, 3361), (6181, 14085, 10982), (3361, 10982, 11201))

# Report 002: U-Net, binary cross-entropy, after 5 epochs.
MEMBRANE = {("unet", "bce"): {"accuracy": 0.97}}

# Paper 003, table 1: batch, patch, effective patch, share of the foreground.
PATCHES = {
    "UNet": ((5, 56, 16, 0.52), (3, 64, 24, 0.33), (1, 88, 48, 0.15)),
    "TwoPathCNN": ((5, 51, 19, 0.29), (3, 63, 31, 0.25), (1, 85, 53, 0.16)),
    "DeepMedic": ((5, 51, 3, 0.20), (3, 63, 15, 0.01), (1, 87, 39, 0.002)),
    "HighResNet": ((5, 51, 15, 0.02), (3, 63, 27, 0.01), (1, 85, 49, 0.003)),
}
