"""A source's pictures as plain lists, which tests can look at."""

from types import SimpleNamespace

from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack

NATIVE = Inputs(Stack(), Scaling(), Geometry(kind="native"))


def plain(build):
    """Return a reader that gives lists: images (H, W, S), labels (H, W)."""

    def read(folder, **params):
        source = build(folder, NATIVE, **params)
        pictures = list(source.pictures.values())
        return SimpleNamespace(
            source=source,
            classes=source.classes,
            mode=source.mode,
            background=source.background,
            channels=source.inputs.channels,
            images=[one.image.transpose(1, 2, 0) for one in pictures],
            labels=[one.labels[0] for one in pictures],
            names=[one.name for one in pictures],
            groups=[one.group for one in pictures],
        )

    return read
