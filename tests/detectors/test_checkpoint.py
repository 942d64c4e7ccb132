"""A run that was killed and resumed is the undisturbed run, bit by bit; bad files are refused."""

import os
import threading

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.detectors.checkpoint import Checkpoint, digest_of
from xgeoanom.detectors.training import EarlyStopping, seeded, train
from xgeoanom.errors import ModelFileError, XGeoAnomError
from xgeoanom.nets.patch_cnn import Dropout

EPOCHS, N = 7, 30


class Killed(BaseException):
    """What ends a process: no code of ours may catch it."""


def adam(network):
    return torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-3), None


def sgd(network):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)


def cosine(network):
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)


def run(path=None, *, how=sgd, patience=None, kill_at=None, stop=None, seed=0, digest="one"):
    """Train from scratch, as a new process would; ``kill_at`` counts batches, validation's too."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(N, 4)).astype("float32"))
    y = (x[:, 0] * x[:, 1] > 0).float()
    dropout = Dropout(0.3)
    with seeded(rng):
        network = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), dropout, torch.nn.Linear(8, 1)
        )
    dropout.generator = generator
    n_batches = 0

    def loss_of(batch):
        nonlocal n_batches
        if n_batches == kill_at:
            if stop is None:
                raise Killed
            stop.set()
        n_batches += 1
        noisy = x[batch] + 0.1 * torch.randn(len(batch), 4, generator=generator)
        logits = network(noisy)[:, 0]
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, y[batch])

    optimizer, scheduler = how(network)
    held = torch.arange(10)
    watch = None if patience is None else EarlyStopping(lambda: loss_of(held), patience)
    history = train(
        network,
        loss_of,
        N,
        optimizer=optimizer,
        epochs=EPOCHS,
        batch_size=8,
        rng=rng,
        scheduler=scheduler,
        stop=stop,
        watch=watch,
        checkpoint=None if path is None else Checkpoint(path, digest, [generator]),
    )
    seen = watch.history if watch else []
    return network, history, seen, n_batches, rng.random()


def assert_same(one, other):
    for (name, tensor), same in zip(
        one[0].state_dict().items(), other[0].state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, same), name
    assert one[1:3] == other[1:3]
    assert one[4] == other[4]  # what comes after draws the same numbers
    assert not other[0].training


@pytest.mark.parametrize("how", [adam, sgd, cosine])
@pytest.mark.parametrize("patience", [None, 1, 99])
@given(kills=st.lists(st.integers(0, 5 * EPOCHS), min_size=1, max_size=3))
@settings(max_examples=8)
def test_a_killed_run_resumes_to_the_same_result(tmp_path_factory, how, patience, kills):
    undisturbed = run(how=how, patience=patience)
    path = tmp_path_factory.mktemp("killed") / "run.pt"
    for kill_at in kills:
        try:
            run(path, how=how, patience=patience, kill_at=kill_at)
        except Killed:
            continue
    resumed = run(path, how=how, patience=patience)
    assert_same(undisturbed, resumed)


def test_the_trials_above_would_notice(tmp_path):
    """Epochs, seeds and generators each change the result, and early stopping stops."""
    assert run(seed=1)[1] != run()[1]
    assert len(run(patience=1)[1]) < EPOCHS == len(run(patience=99)[1])
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        run(path, kill_at=9)
    saved = torch.load(path, weights_only=True)
    del saved["state"]["generator0"]
    torch.save(saved, path)
    with pytest.raises(ModelFileError, match="generator0"):
        run(path)


def test_a_set_flag_in_mid_epoch_costs_that_epoch_alone(tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        run(path, kill_at=4 * 3 + 2, stop=threading.Event())
    resumed = run(path)
    assert resumed[3] == 4 * (EPOCHS - 3)
    assert_same(run(), resumed)


def test_a_finished_run_trains_no_more(tmp_path):
    for patience in (None, 1):
        path = tmp_path / f"run{patience}.pt"
        first = run(path, patience=patience)
        again = run(path, patience=patience)
        assert again[3] == 0
        assert_same(first, again)


def test_a_checkpoint_does_not_change_the_run(tmp_path):
    assert_same(run(), run(tmp_path / "run.pt"))
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_another_run_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    run(path)
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match=r"run\.pt.*other settings, data.*delete it"):
        run(path, digest="two")
    assert path.read_bytes() == before


@given(end=st.integers(0, 10_000))
def test_truncated_files_are_refused(tmp_path_factory, end):
    path = tmp_path_factory.mktemp("cut") / "run.pt"
    Checkpoint(path, "one").save({"network": torch.nn.Linear(40, 40)}, [1.0])
    content = path.read_bytes()
    path.write_bytes(content[: end % len(content)])
    with pytest.raises(ModelFileError, match=r"run\.pt.*truncated or no checkpoint.*delete it"):
        Checkpoint(path, "one").restore({"network": torch.nn.Linear(40, 40)})


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "run.pt"
    checkpoint, network = Checkpoint(path, "one"), torch.nn.Linear(40, 40)
    checkpoint.save({"network": network}, [1.0])
    content = bytearray(path.read_bytes())
    content[content.index(network.weight.detach().numpy().tobytes()) + 77] ^= 4
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        checkpoint.restore({"network": network})


class Evil:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("content", [torch.ones(3), {"weight": torch.ones(3)}, [1], 7, Evil()])
def test_foreign_files_are_refused(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "run.pt")
    with pytest.raises(ModelFileError, match="no checkpoint"):
        Checkpoint("run.pt", "one").restore({})
    assert not (tmp_path / "unpickled").exists()


def test_what_does_not_fit_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.pt", "one")
    checkpoint.save({"network": torch.nn.Linear(2, 1)}, [])
    for other in ({"network": torch.nn.Linear(3, 1)}, {"net": torch.nn.Linear(2, 1)}):
        with pytest.raises(ModelFileError, match="does not fit"):
            checkpoint.restore(other)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("enforce")])
def test_a_full_disk_leaves_the_epoch_before(tmp_path, monkeypatch, error):
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        run(path, kill_at=4 * 2 + 1)
    before = path.read_bytes()

    def fail(content, where):
        where.write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(ModelFileError, match=r"run\.pt.*after epoch 3.*make room"):
            run(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    assert_same(run(), run(path))


def test_an_interruption_while_writing_leaves_the_epoch_before(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        run(path, kill_at=4 * 2 + 1)

    def killed(content, where):
        where.write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(Killed):
            run(path)
    assert_same(run(), run(path))
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_folders_are_made_or_told_of(tmp_path):
    run(tmp_path / "some" / "where" / "run.pt")
    assert (tmp_path / "some" / "where" / "run.pt").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match="its folder cannot be made"):
        Checkpoint(tmp_path / "file" / "run.pt", "one")
    with pytest.raises(ModelFileError, match="is a folder"):
        Checkpoint(tmp_path, "one")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_generators_of_a_gpu(tmp_path):
    generator = torch.Generator("cuda").manual_seed(0)
    checkpoint = Checkpoint(tmp_path / "run.pt", "one", [generator])
    checkpoint.save({}, [1.0])
    first = torch.rand(3, generator=generator, device="cuda")
    assert checkpoint.restore({}) == [1.0]
    assert torch.equal(torch.rand(3, generator=generator, device="cuda"), first)


CUBE = xr.DataArray(np.arange(6.0).reshape(2, 3), {"element": ["Au", "Cu"]}, ("element", "y"))
DIGESTED = [
    {"seed": 0},
    {"seed": 1},
    {"rate": 0.0},
    {"sizes": (1, 2)},
    {"sizes": (2, 1)},
    {"values": np.zeros(4)},
    {"values": np.zeros(4, "float32")},
    {"values": np.zeros(8, "float32")},
    {"values": np.zeros((2, 2))},
    {"values": np.array([0, 0, 0, np.nan])},
    {"values": np.zeros(0)},
    {"values": np.array(["Au", "Cu"])},
    {"cube": CUBE},
    {"cube": CUBE + 1},
    {"cube": CUBE.assign_coords(element=["Au", "Ag"])},
    {"cube": CUBE.rename(y="x")},
    {"cube": CUBE.to_dataset(name="clr")},
    {"nested": {"state": [torch.ones(2), None]}},
    {"nested": {"state": [torch.zeros(2), None]}},
]


def test_a_digest_tells_apart_what_differs():
    assert len({digest_of(**what) for what in DIGESTED}) == len(DIGESTED)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"sizes": (1, 2)}, {"sizes": [1, 2]}),
        ({"a": np.int64(3)}, {"a": 3}),
        ({"a": np.arange(6).reshape(2, 3).T}, {"a": np.arange(6).reshape(2, 3).T.copy()}),
        ({"a": np.array(["Au", "Cu"])}, {"a": np.array(["Au", "Cu"], dtype=object)}),
        ({"a": np.array(["Au"])}, {"a": np.array(["Au"], dtype="<U9")}),
        ({"a": torch.ones(2)}, {"a": np.ones(2, "float32")}),
        ({"a": CUBE}, {"a": CUBE.chunk(y=1)}),
        ({"a": CUBE}, {"a": CUBE.assign_attrs(history="today")}),
    ],
)
def test_a_digest_does_not_heed_what_is_the_same(one, same):
    assert digest_of(**one) == digest_of(**same)


def test_a_digest_heeds_the_version(monkeypatch):
    before = digest_of(seed=0)
    monkeypatch.setattr("xgeoanom.detectors.checkpoint.version", lambda: "99")
    assert digest_of(seed=0) != before


def test_what_has_no_digest_is_named():
    with pytest.raises(XGeoAnomError, match="a Linear has no digest"):
        digest_of(network=torch.nn.Linear(1, 1))
