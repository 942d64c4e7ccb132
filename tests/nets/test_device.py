"""Devices are chosen late and leave torch's settings as they were."""

import torch

from xgeoanom.nets import device


def test_given_device_wins():
    assert device.choose("cpu") == torch.device("cpu")


def test_default_is_the_gpu_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert device.choose().type == expected


def test_one_thread_inside_and_restored_after():
    before = torch.get_num_threads()
    with device.on(torch.device("cpu")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
