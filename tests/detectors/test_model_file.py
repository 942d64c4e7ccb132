"""What a file holds of networks that share a part."""

import pytest
import torch
from safetensors import safe_open
from surveys import small_cube, small_labels
from torch import nn

from xgeoanom.detectors.mim import MIM
from xgeoanom.detectors.model_file import _network, _tensors_of


class Two(nn.Module):
    """A body, which others may share, and a head."""

    def __init__(self, body=None):
        super().__init__()
        self.body = nn.Linear(3, 4) if body is None else body
        self.head = nn.Linear(4, 1)
        self.register_buffer("nothing", torch.empty(0))


class Builder:
    """As much of a detector as a network needs to be read."""

    elements_ = ("Au", "As", "Cu")

    def build(self, n_elements):
        return Two()


def several(*, shared):
    first = Two()
    networks = [first, *(Two(first.body if shared else None) for _ in range(2))]
    for k, network in enumerate(networks):
        network.register_buffer("seen", torch.full((2,), float(k)))
    return networks


@pytest.mark.parametrize("shared", [True, False])
def test_what_networks_share_is_written_once(shared):
    networks = several(shared=shared)
    tensors = _tensors_of(networks)
    names = {f"network{k}.{name}" for k in range(3) for name in networks[k].state_dict()}
    left_out = {f"network{k}.body.{name}" for k in (1, 2) for name in ("weight", "bias")}
    assert tensors.keys() == (names - left_out if shared else names)
    for k, network in enumerate(networks):
        found = _network(Builder(), tensors, f"network{k}.")
        state = network.state_dict()
        assert found.state_dict().keys() == state.keys()
        for name, tensor in found.state_dict().items():
            assert torch.equal(tensor, state[name]), name
        assert not found.training


def test_equal_values_are_not_shared_tensors():
    first, second = Two(), Two()
    second.load_state_dict(first.state_dict())
    assert "network1.body.weight" in _tensors_of([first, second])


def test_more_draws_cost_their_heads_alone(tmp_path):
    """Of a frozen encoder; by the numbers that files hold."""
    cube = small_cube()
    sizes = {"width": 32, "depth": 2, "heads": 2, "decoder_heads": 2, "epochs": 0, "head_epochs": 1}
    numbers = []
    for draws in (1, 2, 3):
        detector = MIM(**sizes, draws=draws, seed=0).fit(cube, small_labels(cube))
        detector.save(tmp_path / "d")
        with safe_open(tmp_path / "d", framework="pt") as file:
            held = {name: file.get_tensor(name).numel() for name in file.keys()}  # noqa: SIM118
        numbers.append(sum(n for name, n in held.items() if not name.endswith("seen")))
    head = sum(t.numel() for t in detector.networks_[0].head.state_dict().values()) + 1  # reach
    assert numbers[1] - numbers[0] == numbers[2] - numbers[1] == head
