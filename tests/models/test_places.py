import pytest
import torch
from network_cases import small
from torch import nn

from gutseg.models.blueprint import blueprint
from gutseg.models.places import Place, add, places_named

U_SHAPED = ["unet", "segnet", "unet3p", "multiresunet", "kiunet", "mtunet", "smp_unet"]


@pytest.mark.parametrize("name", U_SHAPED)
def test_features_behind_the_places_of_a_level_have_its_stride(name):
    network = blueprint(lambda: small(name)).eval()
    places = [(level, place) for level, found in enumerate(network.levels) for place in found]
    sizes = {}
    for level, place in places:

        def look(_, __, output, key=(level, place)):
            for number in key[1].item:
                output = output[number]
            sizes[key] = tuple(output.shape[2:])

        network.get_submodule(place.module).register_forward_hook(look)
    network(torch.empty(1, 5, 128, 192, device="meta"))
    assert len(sizes) > 4
    assert sizes == {key: (128 >> key[0], 192 >> key[0]) for key in places}


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.down_1 = nn.Conv2d(1, 2, 1)
        self.down_2 = nn.Conv2d(2, 3, 1)
        self.stages = nn.ModuleList([nn.Identity(), nn.Sequential(nn.ReLU(), nn.Identity())])


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", []),
        ("down_2", [Place("down_2")]),
        ("down_*", [Place("down_1"), Place("down_2")]),
        ("stages.?", [Place("stages.0"), Place("stages.1")]),
        ("stages.-1", [Place("stages.1")]),
        ("stages.-1.-2", [Place("stages.1.0")]),
        ("stages.1[0]", [Place("stages.1", (0,))]),
    ],
)
def test_text_names_places(text, places):
    assert places_named(Named(), text) == places


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="Named has no module 'up_.'"):
        places_named(Named(), "up_*")


@pytest.mark.parametrize("item", [(), (1,), (0, 1)])
def test_a_block_works_on_the_tensor_of_its_place_alone(item):
    class Several(nn.Module):
        def forward(self, images):
            return {(): images, (1,): [images, images + 1], (0, 1): ([images, images + 2], "rest")}[
                item
            ]

    network = nn.Sequential(Several())
    images = torch.zeros(1, 1, 2, 2)
    before = network(images)
    block = nn.Conv2d(1, 1, 1)
    nn.init.ones_(block.weight)
    nn.init.constant_(block.bias, 10.0)
    added = add(network, Place("0", item), block)
    after = network(images)
    assert dict(added.named_parameters()).keys() == {"block.weight", "block.bias"}
    assert type(after) is type(before)
    flat = {(): [10], (1,): [0, 11], (0, 1): [0, 12]}[item]
    tensors = [after] if item == () else after if item == (1,) else after[0]
    assert [tensor.flatten()[0].item() for tensor in tensors] == flat
    assert item != (0, 1) or after[1] == "rest"
