"""SKT's settings: what is refused, the paper's, plain networks and ablations."""

import pytest
import torch

from xgeoanom.blocks import Footprint
from xgeoanom.detectors.skt import SKT
from xgeoanom.errors import WindowError, XGeoAnomError
from xgeoanom.nets.targets import DilatedFront


@pytest.mark.parametrize(
    "wrong",
    [
        {"transfer": "selective"},
        {"background": "half"},
        {"draws": 0},
        {"step": 0},
        {"step": 2.5},
        {"width": 0},
        {"epochs": "many"},
        {"halve_every": 0},
        {"source_epochs": 0},
        {"batch_size": 1},
        {"dilations": ()},
        {"dilations": (1, -1)},
        {"dilations": (1.5,)},
        {"copies": (1, 1, 1)},
        {"copies": (0, 1)},
        {"learning_rate": -0.1},
        {"learning_rate": "fast"},
        {"noise": float("nan")},
        {"distillation": float("inf")},
        {"momentum": 1.0},
        {"weight_decay": 1},
        {"dilations": 2},
        {"dilations": (True,)},
        {"copies": None},
        {"mask": "yes"},
        {"draws": True},
        {"source": 3},
        {"source": ""},
        {"checkpoint": b"state"},
    ],
)
def test_wrong_settings_are_told(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(XGeoAnomError, match=name) as told:
        SKT(**wrong)
    assert str(value[-1] if isinstance(value, tuple) and value else value) in str(told.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"window": 0}, "window=0 must be an integer"),
        ({"window": 32.0}, "window=32.0 must be an integer"),
        ({"crop": "28"}, "crop='28' must be an integer"),
        ({"step": 5}, "step=5 must divide window=32"),
        ({"crop": 33}, "crop=33 must not exceed window=32"),
        ({"dilations": (1, 14)}, r"dilations=\(1, 14\) leave nothing of crop=28"),
    ],
)
def test_sizes_that_do_not_fit_are_told(wrong, message):
    with pytest.raises(WindowError, match=message):
        SKT(**wrong)
    assert SKT(dilations=[1, 13]).dilations == (1, 13)


def test_sizes_of_the_paper():
    paper = SKT.paper()
    assert paper.footprint == Footprint(halo=128, step=128)
    assert (paper.window, paper.crop, paper.width) == (256, 224, 64)
    sizes = [DilatedFront(1, rho)(torch.zeros(1, 1, 224, 224)).shape[-1] for rho in paper.dilations]
    assert sizes == [222, 212, 200, 188, 176]
    assert (paper.learning_rate, paper.halve_every, paper.epochs) == (0.1, 30, 150)
    assert (paper.momentum, paper.weight_decay, paper.batch_size) == (0.01, 1e-4, 128)
    assert (paper.distillation, paper.noise**2) == (0.7, pytest.approx(0.01))
    assert SKT.paper(epochs=1, momentum=0.9) == SKT.paper(momentum=0.9, epochs=1) != paper


def test_plain_networks():
    plain = SKT.plain(5, width=8)
    assert plain.dilations == (0,) * 5
    assert (plain.mask, plain.transfer, plain.distillation, plain.width) == (False, "none", 0, 8)
    names = [name for name, _ in plain.build(3).named_parameters()]
    assert {name.split(".")[0] for name in names} == {"bodies"}
    assert SKT.plain().dilations == (0,)


def test_ablations_change_one_thing_each():
    detector = SKT(dilations=(1, 3), width=4, transfer="additive", seed=7)
    ablations = detector.ablations()
    assert list(ablations) == ["SKT", "- mask", "- dilation", "- transfer", "- distillation"]
    assert ablations["SKT"] is detector
    ours = detector.hyperparameters()
    expected = {"mask": False, "dilations": (0, 0), "transfer": "none", "distillation": 0.0}
    for (_, other), (field, value) in zip(list(ablations.items())[1:], expected.items()):
        assert other.hyperparameters() == ours | {field: value}
        assert other.seed == 7


def test_ablations_are_of_parts_that_are_there():
    plain = SKT.plain(2, window=8, step=4, crop=6)
    assert list(plain.ablations()) == ["SKT"]
    assert list(SKT(source="s.safetensors").ablations()) == [
        "SKT",
        "- mask",
        "- dilation",
        "- transfer",
        "- distillation",
    ]
