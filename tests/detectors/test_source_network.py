"""Where a source comes from: files that fit, files that do not, and turned windows."""

import threading

import numpy as np
import pytest
import torch
from surveys import small_cube, small_labels

from xgeoanom.detectors.autoencoder import Autoencoder
from xgeoanom.detectors.skt import SKT
from xgeoanom.detectors.source_network import TURNS, learn_turns, read_source, turns_loss
from xgeoanom.detectors.transfer_training import Crops, Descent
from xgeoanom.errors import CubeError, ModelFileError, XGeoAnomError
from xgeoanom.nets.resnet import ResNet18

SMALL = {"window": 8, "step": 4, "crop": 6, "width": 2, "epochs": 1, "draws": 1, "seed": 0}
TARGETS = {**SMALL, "dilations": (0, 1), "source_epochs": 1}


@pytest.fixture(scope="module")
def cube():
    return small_cube()


@pytest.fixture(scope="module")
def labels(cube):
    return small_labels(cube)


@pytest.fixture(scope="module")
def saved(cube, labels, tmp_path_factory):
    """A file that another survey's network was saved to."""
    path = tmp_path_factory.mktemp("source") / "source.safetensors"
    other = small_cube(seed=1)
    SKT.plain(**{**SMALL, "window": 10, "step": 5, "crop": 9}).fit(other, small_labels(other)).save(
        path
    )
    return str(path)


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("training started")

    monkeypatch.setattr(Descent, "run", refuse)


def test_a_saved_plain_network_is_read(saved, cube):
    source = read_source(saved, list(cube.element.values), width=2)
    (network,) = SKT.load(saved).networks_
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, network.bodies[0].state_dict()[name]), name
    assert source.classify.out_features == 2


@pytest.mark.parametrize("transfer", ["multiplicative", "additive"])
def test_targets_start_from_the_file(saved, cube, labels, transfer):
    detector = SKT(**{**TARGETS, "learning_rate": 0.0}, source=saved, transfer=transfer)
    detector.fit(cube, labels)
    source = read_source(saved, list(cube.element.values), width=2)
    (network,) = detector.networks_
    for body in network.bodies:
        for name, kernel in source.named_parameters():
            assert torch.equal(body.get_parameter(name), kernel), name
    assert "source_loss" not in detector.history_[0]
    assert all(share == [1.0, 1.0] for share in detector.history_[0]["kept"].values())


def test_a_source_without_transfer_is_refused():
    with pytest.raises(XGeoAnomError, match=r"source='s\.safetensors'.*transfer='none'"):
        SKT(**TARGETS, source="s.safetensors", transfer="none")


@pytest.mark.parametrize("pick", [["Au", "As"], ["Ag", "Zn", "Pb", "Cu", "As", "Au"]])
def test_other_elements_are_refused(saved, cube, labels, no_training, pick):
    with pytest.raises(CubeError, match=r"source=.*knows the elements.*'Au'.*the cube has"):
        SKT(**TARGETS, source=saved).fit(cube.sel(element=pick), labels)


def test_another_width_is_refused(saved, cube, labels, no_training):
    with pytest.raises(
        XGeoAnomError, match=r"one plain network of width=4.*SKT\.plain\(width=4, draws=1\)"
    ):
        SKT(**{**TARGETS, "width": 4}, source=saved).fit(cube, labels)


@pytest.mark.parametrize(
    "other",
    [
        SKT(**TARGETS),
        SKT.plain(2, **SMALL),
        SKT.plain(**{**SMALL, "draws": 2}),
        SKT.plain(**SMALL, mask=True),
        SKT.plain(**{**SMALL, "dilations": (1,)}),
        Autoencoder(draws=1, epochs=1, seed=0),
    ],
    ids=lambda other: f"{other.name} {getattr(other, 'dilations', '')}",
)
def test_other_networks_are_refused(other, cube, labels, tmp_path, monkeypatch):
    path = tmp_path / "other.safetensors"
    other.fit(cube, labels).save(path)
    monkeypatch.setattr(Descent, "run", None)
    with pytest.raises(XGeoAnomError, match=r"other\.safetensors.*one plain network of width=2"):
        SKT(**TARGETS, source=str(path)).fit(cube, labels)


def test_bad_files_are_refused(saved, cube, labels, tmp_path, no_training):
    path = tmp_path / "bad.safetensors"
    with pytest.raises(ModelFileError, match=r"bad\.safetensors' does not exist"):
        SKT(**TARGETS, source=str(path)).fit(cube, labels)
    with open(saved, "rb") as file:
        path.write_bytes(file.read()[:-100])
    with pytest.raises(ModelFileError, match=r"bad\.safetensors' is truncated"):
        SKT(**TARGETS, source=str(path)).fit(cube, labels)


def oriented_windows(n=64):
    """Windows that fall off from north to south, under noise."""
    rng = np.random.default_rng(0)
    slope = np.linspace(2, -2, 10)[:, None]
    return torch.from_numpy((slope + 0.3 * rng.normal(size=(n, 1, 10, 10))).astype("float32"))


def learn(windows, epochs=12, seed=0):
    torch.manual_seed(0)
    network = ResNet18(1, TURNS, width=4)
    crops = Crops(windows, 8, torch.Generator().manual_seed(seed))
    descent = Descent(
        learning_rate=0.02,
        halve_every=9,
        momentum=0.9,
        weight_decay=0.0,
        batch_size=16,
        stop=threading.Event(),
    )
    rng = np.random.default_rng(seed)
    return network, learn_turns(network, crops, descent, epochs, rng, None)


def test_turns_are_learned_where_windows_have_an_orientation():
    network, losses = learn(oriented_windows())
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < losses[0] / 2
    new = oriented_windows(84)[64:, :, 1:9, 1:9]
    for k in range(TURNS):
        told = network(torch.rot90(new, k, (2, 3))).argmax(dim=1)
        assert (told == k).float().mean() > 0.7


def test_same_seed_same_turns():
    windows = oriented_windows(20)
    assert learn(windows, 2)[1] == learn(windows, 2)[1] != learn(windows, 2, seed=1)[1]


def test_the_loss_of_turns_by_hand():
    windows = torch.randn(6, 2, 9, 9)
    network = ResNet18(2, TURNS, width=2).eval()
    members = torch.tensor([4, 0, 5])
    loss = turns_loss(network, Crops(windows, 9, torch.Generator().manual_seed(3)))(members)
    draw = torch.Generator().manual_seed(3)
    torch.randint(1, (3, 2), generator=draw)  # the corners of crops
    turns = torch.randint(4, (3,), generator=draw)
    assert len(set(turns.tolist())) > 1
    each = []
    for member, turn in zip(members, turns.tolist()):
        part = windows[member].numpy()
        for _ in range(turn):
            part = np.rot90(part, 1, (1, 2))
        share = network(torch.from_numpy(part.copy())[None]).softmax(dim=1)[0]
        each.append(-share[turn].log().item())
    assert loss.item() == pytest.approx(np.mean(each), rel=1e-5)
