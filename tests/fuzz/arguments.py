"""Values of arguments that every verb must refuse, by what the argument is."""

COUNT = ("nan", "inf", "-1", "1.5", "1e3", "", "0x10", "abc", "--")
NO_INPUT = ("nowhere", "", "notes/keep.txt", "notes", "/dev/null", "nowhere/\n", "x" * 300)
# an output may not be an input, somebody's file or folder, a device or below a file
NO_FILE = ("", "notes", "raw", "/dev/full", "/dev/null", "notes/keep.txt/x", "x" * 300)
NO_FOLDER = ("", "notes", "notes/keep.txt", "/dev/full", "tiny.yaml", "notes/keep.txt/x", "hidden")
NO_FOLD = ("nan", "-1", "7", "0,0", "0,", "", "٠", "0;1", "1.0", "all,0", "0 1", "9" * 30)
NO_WORD = ("", "no_such", "DEFAULT", "نعم")
OVERRIDES = (
    *("x", "=1", "train", "train=1", "train.epochs=", "train.epochs=0", "train.epochs=true"),
    *("train.epochs=[", "train.epochs=1.5", "train.no_such=1", "no.such.key=1", "name=../x"),
    *("name=/x", "name=.", 'name="a\\nb"', "optim.lr=.inf", "optim.lr=.nan", "seed=-1"),
    *("loss.name=dise", "geometry.size=[16]", "name=", "model.params={widths: []}"),
    *(
        "data.folder=nowhere",
        "data.folds=",
        "loss.params.dice_weight=-1",
        "a.b.c.d=[[[",
        "=",
        "==1",
    ),
    *("train.batch_size=٣", "data=&a [*a]", "model.params.widths=[4, true]", "stack.slices=2"),
)
