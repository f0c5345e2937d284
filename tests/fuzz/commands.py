"""Every verb as the fuzz test calls it: the line, the files that it reads, the bad arguments."""

import shutil
from pathlib import Path

from tests.fuzz.arguments import COUNT, NO_FILE, NO_FOLD, NO_FOLDER, NO_INPUT, NO_WORD, OVERRIDES
from tests.fuzz.contract import Command, Reads

INDEX = Reads("cache/index.parquet", "index")


def _cache(scans: str) -> tuple[Reads, ...]:
    arrays = (
        Reads(f"cache/{scans}/{name}.npy", "array") for name in ("image", "mask", "histogram")
    )
    return (INDEX, *arrays, Reads(f"cache/{scans}/scan.json", "json"))


CACHE = _cache("case*")
HELD_OUT = _cache("case[23]*")  # by fold 0
RAW = (Reads("raw/train/*/*/scans/*.png", "slice"), Reads("raw/train.csv", "labels"))
FOLD = "runs/tiny/fold0"
TRAINED = (
    Reads(f"{FOLD}/best.pt", "weights"),
    Reads(f"{FOLD}/config.yaml", "resolved"),
    Reads("folds.csv", "folds"),
)
PREDICTED = (
    Reads("runs/tiny/fold*/oof/*.npz", "prediction"),
    Reads("runs/tiny/fold*/oof/made_with.json", "json"),
)
HIDDEN = (
    Reads("hidden/test/*/*/scans/*.png", "slice"),
    Reads("hidden/sample_submission.csv", "sample"),
)


def _forget_predictions() -> None:
    shutil.rmtree(Path(FOLD, "oof"))


def _train(config: str, *words: str) -> tuple[str, ...]:
    return ("train", config, "--fold", "0", "--jobs", "1", *words)


COMMANDS: dict[str, Command] = {
    "prepare": Command(
        ("prepare", "raw", "--out", "fresh", "--workers", "1"),
        RAW,
        writes=("fresh",),
        keeps=("fresh",),
        bad={1: NO_INPUT, 3: (*NO_FOLDER, "raw", "raw/train"), 5: COUNT},
    ),
    "prepare again": Command(
        ("prepare", "raw", "--out", "cache", "--workers", "1"),
        (
            *(Reads(read.pattern, read.kind, remedy=True) for read in CACHE),
            Reads("cache/case*/index.parquet", "index", remedy=True),
            *RAW,
        ),
        writes=("cache",),
        keeps=("cache",),
    ),
    "prepare skip": Command(
        ("prepare", "raw", "--out", "fresh", "--workers", "1", "--skip-bad"),
        RAW,
        writes=("fresh",),
        keeps=("fresh",),
        skips=True,
    ),
    "split": Command(
        ("split", "cache", "--out", "new.csv", "--folds", "2", "--seed", "1"),
        (INDEX,),
        writes=("new.csv",),
        bad={
            1: NO_INPUT,
            3: (*NO_FILE, "cache", "cache/index.parquet"),
            5: (*COUNT, "0", "1", "9", "9" * 25),
            7: (*COUNT, "9" * 25),
        },
    ),
    "split listing": Command(
        ("split", "listing.csv", "--out", "new.csv", "--folds", "2", "--stratum", "has_mask"),
        (Reads("listing.csv", "listing"),),
        writes=("new.csv",),
        bad={1: NO_INPUT, 3: ("listing.csv",), 7: ("organs", *NO_WORD)},
    ),
    "split again": Command(
        ("split", "cache", "--out", "folds.csv", "--folds", "2"),
        (Reads("folds.csv", "folds", without=("remove", "broken_link", "empty")),),
        writes=("folds.csv",),
    ),
    "train": Command(
        _train("tiny.yaml", "name=other"),
        (Reads("tiny.yaml", "experiment"), Reads("folds.csv", "folds"), *CACHE),
        writes=("runs/other",),
        bad={1: NO_INPUT, 3: NO_FOLD, 5: COUNT, 6: OVERRIDES},
    ),
    "train again": Command(
        _train("tiny.yaml"),
        (
            Reads(f"{FOLD}/last.pt", "weights", without=("remove",)),
            Reads(f"{FOLD}/meta.json", "json"),
            *TRAINED[1:],
        ),
        writes=(FOLD,),
    ),
    "train encoder": Command(
        _train("published.yaml"),
        (Reads("encoder.safetensors", "safetensors"), Reads("published.yaml", "experiment")),
        writes=("runs/published",),
    ),
    "train pickled": Command(
        _train("pickled.yaml"),
        (Reads("encoder.pth", "encoder"),),
        writes=("runs/pickled",),
    ),
    "train start": Command(
        _train("tiny.yaml", "name=started", "train.init_from=runs/tiny"),
        (*TRAINED[:2], Reads(f"{FOLD}/meta.json", "json")),
        writes=("runs/started",),
    ),
    "predict": Command(
        ("predict", "runs/tiny", "--fold", "0", "--tta", "none"),
        (
            *TRAINED,
            Reads(f"{FOLD}/oof/*.npz", "prediction", remedy=True),
            Reads(f"{FOLD}/oof/made_with.json", "json", remedy=True),
            INDEX,
        ),
        writes=(f"{FOLD}/oof",),
        keeps=(f"{FOLD}/oof",),
        bad={1: (*NO_INPUT, "runs", "cache", FOLD), 3: NO_FOLD, 5: NO_WORD},
    ),
    "predict afresh": Command(
        ("predict", "runs/tiny", "--fold", "0"),
        (*TRAINED, *HELD_OUT),
        writes=(f"{FOLD}/oof",),
        keeps=(f"{FOLD}/oof",),
        setup=_forget_predictions,
    ),
    "blend": Command(
        ("blend", "runs/tiny", "--out", "blends/new", "--trials", "2", "--metric", "default"),
        (*PREDICTED, *TRAINED[1:], *CACHE),
        writes=("blends/new",),
        bad={
            1: (*NO_INPUT, "cache", "runs", "blends/first/blend.yaml"),
            # blend.yaml may lie beside other files
            3: tuple(name for name in NO_FOLDER if name not in ("notes", "hidden", "")),
            5: (*COUNT, "0", "9" * 25),
            7: NO_WORD,
        },
    ),
    "score csv": Command(
        (
            *("score", "submission.csv", "--truth", "truth.csv", "--slices", "slices.csv"),
            *("--by", "class,fold", "--folds", "hidden_folds.csv", "--json", "s.json"),
        ),
        (
            Reads("submission.csv", "masks"),
            Reads("truth.csv", "masks"),
            Reads("slices.csv", "slices"),
            Reads("hidden_folds.csv", "folds"),
        ),
        writes=("s.json",),
        bad={
            1: (*NO_INPUT, "-", "folds.csv"),
            3: (*NO_INPUT, "folds.csv"),
            5: (*NO_INPUT, "folds.csv"),
            7: ("", "day", "class,,fold", "CLASS"),
            9: (*NO_INPUT, "truth.csv"),
            11: (*NO_FILE, "truth.csv", "submission.csv"),
        },
    ),
    "score run": Command(
        ("score", "runs/tiny", "--metric", "default", "--json", "s.json"),
        (*PREDICTED, Reads("runs/tiny/fold*/config.yaml", "resolved", remedy=True), *CACHE[:3]),
        writes=("s.json",),
        bad={1: (*NO_INPUT, "runs", "cache", FOLD, "tiny.yaml"), 3: NO_WORD},
    ),
    "score blend": Command(
        ("score", "blends/first/blend.yaml", "--json", "s.json"),
        (Reads("blends/first/blend.yaml", "blend"), *PREDICTED),
        writes=("s.json",),
    ),
    "submit": Command(
        ("submit", "blends/first/blend.yaml", "--images", "hidden", "--out", "new.csv"),
        (Reads("blends/first/blend.yaml", "blend"), *TRAINED[:2], *HIDDEN),
        writes=("new.csv",),
        bad={
            1: (*NO_INPUT, "tiny.yaml", "blends/first"),
            3: (*NO_INPUT, "cache"),
            5: (*NO_FILE, "hidden", "blends/first/blend.yaml", "hidden/sample_submission.csv"),
        },
    ),
    "submit public": Command(
        (
            *("submit", "blends/first/blend.yaml", "--images", "raw", "--out", "new.csv"),
            *("--debug-scans", "3"),
        ),
        (RAW[0], Reads("raw/train.csv", "labels", remedy=True)),  # its masks are not needed
        writes=("new.csv", "score.json"),
        bad={7: (*COUNT, "0")},
    ),
    "validate": Command(
        (
            *("validate", "submission.csv", "--sample", "hidden/sample_submission.csv"),
            *("--images", "hidden", "--max-faults", "3"),
        ),
        (
            Reads("submission.csv", "submission"),
            Reads("hidden/sample_submission.csv", "sample", without=("only_header",)),
        ),
        bad={1: (*NO_INPUT, "folds.csv", "raw/train.csv"), 3: NO_INPUT, 5: NO_INPUT, 7: COUNT},
    ),
    "export": Command(
        ("export", "runs/tiny", "--to", "onnx", "--fold", "0", "--out", "exported"),
        (*TRAINED[:2], INDEX),
        writes=("exported",),
        bad={
            1: (*NO_INPUT, "runs", "cache", FOLD),
            3: NO_WORD,
            5: NO_FOLD,
            # its files may lie beside others
            7: tuple(name for name in NO_FOLDER if name not in ("notes", "hidden", "")),
        },
    ),
    "push-to-hub": Command(
        ("push-to-hub", "blends/first/blend.yaml", "--out", "model"),
        (Reads("blends/first/blend.yaml", "blend"), *TRAINED[:2]),
        writes=("model",),
        bad={
            1: (*NO_INPUT, "tiny.yaml", "runs", "cache"),
            3: (*NO_FOLDER, "runs", "blends/..", "."),
        },
    ),
    "kernel build": Command(
        (
            *("kernel", "build", "--blend", "blends/first/blend.yaml", "--folder", "built"),
            *("--user", "somebody", "--no-wheels"),
        ),
        (Reads("blends/first/blend.yaml", "blend"), *TRAINED[:2]),
        writes=("built",),
        bad={
            1: ("", "make", "Build"),
            3: (*NO_INPUT, "tiny.yaml"),
            5: (*NO_FOLDER, "runs", "blends/..", "."),
            7: ("", "a b", "../x", "a/b", "x\ny"),
        },
        says={1: ("build",)},
    ),
    "kernel check": Command(
        ("kernel", "check", "--folder", "kaggle", "--images", "hidden"),
        (
            Reads("kaggle/bundle/blend.yaml", "blend"),
            Reads("kaggle/bundle/runs/*/fold0/weights.safetensors", "listed"),
            Reads("kaggle/bundle/runs/*/fold0/config.yaml", "resolved"),
        ),
        bad={3: (*NO_INPUT, "built", "cache"), 5: (*NO_INPUT, "cache")},
    ),
    "kernel push": Command(
        ("kernel", "push", "--folder", "kaggle", "--dry-run"),
        (
            Reads("kaggle/bundle/bundle.json", "manifest"),
            Reads("kaggle/bundle/dataset-metadata.json", "description"),
            Reads("kaggle/infer/kernel-metadata.json", "description"),
            Reads("kaggle/bundle/runs/*/fold0/weights.safetensors", "listed"),
        ),
        bad={3: (*NO_INPUT, "built", "cache")},
    ),
    "kernel images": Command(
        ("kernel", "check", "--folder", "kaggle", "--images", "hidden"),
        HIDDEN[:1],
        always=True,
    ),
    "bench": Command(
        ("bench", "bench.yaml", "--jobs", "1", "--out", "new", "name=other"),
        (
            Reads("bench.yaml", "grid"),
            Reads("pictures/images/*.png", "photo"),
            Reads("pictures/labels/*.png", "label"),
        ),
        writes=("new",),
        bad={
            1: (*NO_INPUT, "tiny.yaml"),
            3: COUNT,
            5: (*NO_FOLDER, "pictures"),
            6: (
                *("x", "name=../x", "axes.seed=[]", "axes.optim.lr=[.inf]", "score=no", "axes={}"),
                *("set.data.folds=1", "axes.name=[a]", "base=gone.yaml", "base.data=3"),
            ),
        },
    ),
    "bench again": Command(
        ("bench", "bench.yaml", "--jobs", "1", "--out", "compared"),
        (
            Reads("compared/cells/*/fold0.json", "record"),
            Reads("compared/cells/*/data.json", "json"),
            Reads("compared/cells/*/config.yaml", "resolved"),
            Reads("compared/bench.parquet", "table", remedy=True),
            Reads("compared/config.yaml", "resolved", remedy=True),
            Reads("bench.yaml", "grid"),
        ),
        writes=("compared",),
        keeps=("compared/cells",),
    ),
    "plan": Command(
        ("plan", "cache", "--out", "plan.yaml", "--source", "competition"),
        CACHE,
        writes=("plan.yaml",),
        bad={
            1: NO_INPUT,
            3: (*NO_FILE, "cache", "cache/plan.yaml", "tiny.yaml"),
            5: NO_WORD,
        },
    ),
    "config": Command(
        ("config", "tiny.yaml", "seed=1"),
        (Reads("tiny.yaml", "experiment"),),
        # whether the data are there is not asked
        bad={1: NO_INPUT, 2: tuple(one for one in OVERRIDES if "nowhere" not in one)},
    ),
    "list": Command(("list", "datasets"), (), bad={1: (*NO_WORD, "loss", "DATASETS")}),
    "phantom": Command(
        ("phantom", "phantom", "--cases", "3", "--seed", "2", "--preset", "small"),
        (Reads("phantom/phantom.json", "json", without=("remove", "broken_link")),),
        bad={
            1: (*NO_FOLDER, "raw", "cache"),
            3: (*COUNT, "0", "9" * 25),
            5: ("nan", "-1", "1.5", "", "x"),
            7: NO_WORD,
        },
    ),
    "demo": Command(
        ("demo", "--out", "demo", "--config", "tiny.yaml", "--cases", "5", "--trials", "1"),
        (),
        bad={
            2: ("", "tiny.yaml", "notes/keep.txt", "/dev/full"),
            4: NO_INPUT,
            6: (*COUNT, "4", "0"),
            8: (*COUNT, "0"),
        },
    ),
}
