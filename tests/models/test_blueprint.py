import torch
from torch import nn

from gutseg.models.blueprint import blueprint, full_precision, giga_macs


class _Rates(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        self.register_buffer("legacy", torch.Tensor(4))  # on the CPU, whatever the device


def test_a_blueprint_has_shapes_and_no_values():
    network = blueprint(_Rates)
    assert network.rates == [0, 0.5, 1]
    assert all(value.is_meta for value in network.state_dict().values())


def test_a_constructor_that_reads_its_weights_has_no_blueprint():
    assert blueprint(lambda: nn.Linear(int(torch.ones(1).item()), 2)) is None


def test_multiplications_are_counted_by_hand():
    # 3x3 kernel, 3 to 4 channels, 8 x 8 pixels; then 4 to 2 channels at each pixel
    network = blueprint(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)))
    macs = 64 * (9 * 3 * 4 + 4 * 2)
    assert giga_macs(network, (1, 3, 8, 8)) * 1e9 == macs
    assert giga_macs(network, (2, 3, 8, 8)) * 1e9 == 2 * macs


def test_full_precision_switches_autocast_off_where_there_is_one():
    ones = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (ones @ ones).dtype == torch.bfloat16
        with full_precision(ones.device):
            assert (ones @ ones).dtype == torch.float32
    with full_precision(torch.device("meta")):
        pass
