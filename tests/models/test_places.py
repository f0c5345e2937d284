import pytest
import torch
from network_cases import small

from gutseg.models.blueprint import blueprint

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
