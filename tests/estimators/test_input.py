"""Whatever holds samples: masked arrays, memory maps, tensors and streams of any kind."""

import copy
import signal
import warnings
from collections import deque

import joblib
import making
import numpy as np
import pytest

import shl
from shl import sparse_encode

X = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
PARTS = [X[:80], X[80:130], X[130:]]


def make(**options):
    return making.make(**{"n_iter": 6, "batch_size": 50} | options)


class Batches:
    """A loader: it has a length, and no array."""

    def __init__(self, parts):
        self.parts = parts

    def __len__(self):
        return len(self.parts)

    def __iter__(self):
        return iter(self.parts)


def pairs():
    return Batches([(part, np.zeros(len(part))) for part in PARTS])


STREAMS = {
    "list": lambda: PARTS,
    "tuple": lambda: tuple(PARTS),
    "deque": lambda: deque(PARTS),
    "values": lambda: dict(enumerate(PARTS)).values(),
    "loader": lambda: Batches(PARTS),
    "pairs": pairs,
    "list of pairs": lambda: list(pairs()),
    "lists of rows": lambda: Batches([part.tolist() for part in PARTS]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_anything_that_yields_arrays_is_a_stream(name):
    wanted = make().fit(part for part in PARTS + PARTS)
    found = make().fit(STREAMS[name]())
    np.testing.assert_allclose(found.components_, wanted.components_, atol=1e-6)


def test_a_loader_of_pytorch_is_a_stream():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.zeros(len(X)))
    loader = torch.utils.data.DataLoader(data, batch_size=50)
    wanted = make().fit(X[start : start + 50] for start in (0, 50, 100, 150, 0, 50))
    np.testing.assert_array_equal(make().fit(loader).components_, wanted.components_)


def test_tensors_are_read_as_arrays():
    torch = pytest.importorskip("torch")
    wanted = make().fit(X)
    leaf = torch.from_numpy(X.copy()).requires_grad_()
    np.testing.assert_array_equal(make().fit(leaf).components_, wanted.components_)
    narrow = torch.from_numpy(X).to(torch.bfloat16)
    found, wanted = make().fit(narrow), make().fit(narrow.float().numpy())
    np.testing.assert_array_equal(found.components_, wanted.components_)
    assert found.components_.dtype == np.float32
    np.testing.assert_array_equal(found.transform(narrow), wanted.transform(narrow.float().numpy()))


def test_masked_entries_are_missing():
    hidden = np.random.default_rng(1).random(X.shape) < 0.2
    masked = np.ma.masked_array(np.where(hidden, -9999, X), hidden)
    model, twin = make(missing="mask").fit(masked), make(missing="mask")
    twin.fit(masked.filled(np.nan))
    np.testing.assert_array_equal(model.components_, twin.components_)
    assert model.score(masked) == twin.score(masked.filled(np.nan))
    with pytest.raises(ValueError, match="X is a masked array, and its entry at .* is masked"):
        make().fit(masked)
    plain = np.ma.masked_array(X)  # nothing is masked
    np.testing.assert_array_equal(make().fit(plain).components_, make().fit(X).components_)
    with pytest.raises(ValueError, match="dictionary must hold no NaN"):
        sparse_encode(X, masked[:20])


def test_batches_are_checked_in_the_dtype_in_use():
    model = make().partial_fit(X)
    before = model.components_.copy()
    with pytest.raises(ValueError, match=r"X must hold no NaN or infinity, but it is inf at \(3"):
        model.partial_fit(np.where(np.arange(200)[:, None] == 3, 1e60, X.astype(np.float64)))
    np.testing.assert_array_equal(model.components_, before)
    model.partial_fit(X.astype(np.float64))
    assert model.components_.dtype == np.float32


def test_a_model_of_a_memory_map_learns_on(tmp_path):
    model = make().fit(X)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    np.testing.assert_array_equal(
        mapped.partial_fit(X).components_, model.partial_fit(X).components_
    )


def test_copies_share_nothing_that_learning_changes():
    model = make(replace=True).fit(X)
    wanted = copy.deepcopy(model).partial_fit(X[:100]).components_
    copy.copy(model).partial_fit(X[50:])
    np.testing.assert_array_equal(model.partial_fit(X[:100]).components_, wanted)


def test_a_fit_to_few_samples_learns_on():
    model = make(batch_size=None).fit(X[:10])
    assert model.partial_fit(X).n_replaced_ >= 0 and model.n_iter_ > 1


def raising(n_good, error):
    for _ in range(n_good):
        yield X
    raise error


def test_a_stream_that_raises_leaves_its_steps():
    model = make(n_iter=100)
    with pytest.raises(OSError, match="gone"):
        model.fit(raising(3, OSError("gone")))
    assert model.n_iter_ == 12
    before = model.components_
    with pytest.raises(OSError, match="gone"):  # a fitted model stays as it was
        model.fit(raising(1, OSError("gone")))
    assert model.components_ is before and model.transform(X).shape == (200, 20)


def interrupt(state):
    if state.step == 3:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("data", ["array", "stream"])
def test_ctrl_c_keeps_the_model_of_the_last_step(data, monkeypatch):
    from shl.learning import loop

    advance = loop.advance

    def press(state, *rest):
        advance(state, *rest)
        if state.step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop, "advance", press)
    model = make(n_iter=50)
    with pytest.warns(UserWarning, match="Learning was interrupted") as caught:
        model.fit(X if data == "array" else PARTS)
    assert caught[0].filename == __file__
    assert model.n_iter_ == 3 and model.transform(X).shape == (200, 20)


def test_an_interrupt_of_on_step_is_raised():
    model = make()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, on_step=interrupt)
    assert not hasattr(model, "components_")


def test_a_second_ctrl_c_raises(monkeypatch):
    from shl.learning import loop

    def press(*_):
        raise KeyboardInterrupt

    advance = loop.advance
    monkeypatch.setattr(loop, "turn_atoms", press)
    monkeypatch.setattr(loop, "advance", lambda state, *rest: advance(state, *rest) or press())
    model = make()
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
    assert not hasattr(model, "components_")


def test_parameters_without_effect_are_warned_of():
    from shl.learning import HAP

    for options, words in (
        ({"homeo_method": HAP(0.01), "eta_homeo": 0.9}, "eta_homeo=0.9 has no effect because hom"),
        ({"eta": 0.5}, "eta=0.5 has no effect because optimizer='newton'"),
        ({"eta_precision": 0.1}, "eta_precision=0.1 has no effect because do_precision is False"),
    ):
        with pytest.warns(UserWarning, match=words) as caught:
            make(**options).fit(X)
        assert caught[0].filename == __file__


@pytest.mark.parametrize("options", [{}, {"record_each": 10, "record_num_batches": 50}])
def test_a_memory_map_is_learned_from_and_never_copied(tmp_path, options):
    path = tmp_path / "data"
    X.tofile(path)
    mapped = np.memmap(path, X.dtype, "r", shape=X.shape)
    seen = []

    class Model(shl.SparseHebbianLearning):
        def _start(self, X, *rest):
            seen.append(X)
            return super()._start(X, *rest)

    parameters = make(**options).get_params()
    model = Model(**parameters).fit(mapped)
    assert np.shares_memory(seen[0].X, mapped)
    np.testing.assert_array_equal(model.components_, make(**options).fit(X).components_)


def test_an_iterable_is_gone_through_again():
    X = making.planted(np.random.default_rng(0), 600, n_pixels=16, n_atoms=20)[0]
    parts = np.array_split(X, 6)
    first, model, again = (make(n_iter=n_iter).fit(parts) for n_iter in (1, 100, 100))
    assert model.n_iter_ == 100 and model.score(X) > 0.8 * first.score(X)
    np.testing.assert_array_equal(model.components_, again.components_)


def test_an_iterator_has_one_pass():
    model = make(n_iter=100).fit(X[i : i + 80] for i in range(0, 200, 80))
    assert model.n_iter_ == 2 * 2 + 1  # of 80 rows, and 40 at last
    assert make(n_iter=100).fit(iter([X, X]), on_step=lambda state: state.step == 2).n_iter_ == 2
