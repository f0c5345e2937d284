import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def single_thread():
    """These tensors are small: on a busy machine a second thread costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
