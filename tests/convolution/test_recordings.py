"""Signals and images of any shape: pursuit against the oracle, layouts, and learning."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import assert_same, fitted, unit
from sklearn.base import clone

from shl._base.threads import Threads
from shl.coding.competition import Competition
from shl.coding.preparing import prepare
from shl.convolution import ConvolutionalCode, ConvolutionalSHL, coder, convolutional_encode
from shl.convolution.coding import ConvolutionalCoding
from shl.convolution.layout import Windows, read
from shl.datasets import make_recording


def recording(seed=0, n_times=12_000, **options):
    """Three waveforms of 16 samples, an event in 60 samples: (X, atoms, events)."""
    options = {"width": 16, "snr": 14, "overlap": 0.4, "random_state": seed, **options}
    return make_recording(n_times, 3, **options)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from((0.0, 0.02)),
    st.sampled_from((1.5, 3.0)),
    st.integers(1, 3),
    st.sampled_from((1.0, 0.7)),
    st.sampled_from((None, 0.0, 0.5, 1.0)),
)
def test_events_above_a_floor_equal_the_oracle(seed, share_missing, floor, stride, alpha, share):
    X, atoms, _ = recording(seed, n_times=150, n_channels=2, overlap=0.6)
    X = X.astype(float)
    X[np.random.default_rng(seed).random(X.shape) < share_missing] = np.nan
    how = ConvolutionalCoding(floor=floor, stride=stride, alpha_MP=alpha)
    ready = prepare(how, atoms, Competition(share=share))
    images, _ = read(X, 1)
    noise = ready._above_noise(images).noise
    with Threads() as threads:
        code = ready.encode(images, threads)
    share = coder.SHARE if share is None else share
    options = {"floors": floor * noise, "stride": stride, "alpha": alpha, "share": share}
    events, _ = naive.convolutional_pursuit(X[:, None], atoms[:, :, None], **options)
    events.sort(key=lambda event: event[2])
    np.testing.assert_array_equal(code.atom, [event[0] for event in events])
    np.testing.assert_array_equal(code.column, [event[2] for event in events])
    np.testing.assert_allclose(code.value, [event[3] for event in events], rtol=1e-9)


def test_a_floor_is_in_units_of_the_noise(rng):
    _, atoms, *_ = recording()
    X = 3.0 * rng.standard_normal((1, 200_000))
    with Threads():
        found = prepare(ConvolutionalCoding(floor=5), atoms)._above_noise(read(X, 1)[0]).noise
    np.testing.assert_allclose(found, 3, rtol=0.1)
    assert convolutional_encode(X, atoms, floor=6).n_events <= 2


def test_pursuit_to_a_tolerance_keeps_it(rng):
    dictionary, X = unit(rng.standard_normal((6, 1, 3, 4))), rng.standard_normal((4, 1, 9, 11))
    for dtype in (np.float32, np.float64):
        code = convolutional_encode(X.astype(dtype), dictionary, fit_tol=20.0, do_sym=True)
        left = ((X - code.reconstruct(dictionary)) ** 2).sum(axis=(1, 2, 3))
        assert (left <= 20.0 * (1 + 1e-5)).all()
        last = np.flatnonzero(np.diff(code.image, append=4))
        squares = left + code.value[last].astype(float) ** 2
        assert (squares > 20.0).all()
        with pytest.warns(UserWarning, match="4 of 4 images did not reach fit_tol = 20"):
            convolutional_encode(X.astype(dtype), dictionary[:1], fit_tol=20.0, do_sym=True)


# -------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 3])
def test_any_cut_into_blocks_gives_the_same_bits(monkeypatch, dtype, stride):
    X, atoms, _ = recording(n_channels=2, overlap=0.8)
    X[:, 5000:5003], X = np.nan, X.astype(dtype)
    for floor in (6.0, 3.0):  # few events, and so many that blocks have no cut in common
        whole = convolutional_encode(X, atoms, floor=floor, stride=stride)
        assert whole.n_events > 100
        for block, guard in ((256, 4), (1000, 8), (3333, 16)):
            monkeypatch.setattr(coder, "BLOCK", block)
            monkeypatch.setattr(coder, "GUARD", guard)
            for n_jobs in (1, 2):
                code = convolutional_encode(X, atoms, floor=floor, stride=stride, n_jobs=n_jobs)
                assert_same(code, whole)
        monkeypatch.undo()


def test_a_memory_map_is_read_by_blocks(tmp_path, monkeypatch):
    X, atoms, *_ = recording(n_channels=2)
    np.save(tmp_path / "x.npy", (1000 * X).astype(np.int16))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    monkeypatch.setattr(coder, "BLOCK", 1024)
    code = convolutional_encode(mapped, atoms, floor=6.0)
    assert_same(code, convolutional_encode(np.asarray(mapped, float), atoms, floor=6.0))


# -------------------------------------------------------------------------------------- layouts


def test_codes_are_laid_out_as_what_was_coded(rng):
    model = fitted(unit(rng.standard_normal((4, 2, 6))))
    one, many = rng.standard_normal((2, 50)), rng.standard_normal((3, 2, 50))
    ragged = [rng.standard_normal((2, n)) for n in (30, 50, 41)]
    for X in (one, many):
        back = model.inverse_transform(model.transform(X, l0_sparseness=20))
        assert back.shape == X.shape and ((X - back) ** 2).sum() < (X**2).sum()
    back = model.inverse_transform(model.transform(ragged, l0_sparseness=5))
    assert [x.shape for x in back] == [x.shape for x in ragged]
    images = [rng.standard_normal(size) for size in ((9, 12), (14, 10))]
    model = fitted(unit(rng.standard_normal((4, 1, 3, 5))))
    code = model.transform(images, l0_sparseness=5)
    assert [x.shape for x in model.inverse_transform(code)] == [(1, 9, 12), (1, 14, 10)]
    assert code.shape == (2, 4, 12, 8)


def test_frames_name_times_or_rows_and_columns(rng):
    pytest.importorskip("pandas")
    model = fitted(unit(rng.standard_normal((4, 2, 6))))
    code = model.transform(rng.standard_normal((2, 50)), l0_sparseness=3)
    frame = code.to_frame()
    assert list(frame) == ["signal", "atom", "time", "value"]
    np.testing.assert_array_equal(frame["time"], code.column)
    images = fitted(unit(rng.standard_normal((4, 1, 3, 5)))).transform(rng.random((9, 9)))
    assert list(images.to_frame()) == ["signal", "atom", "row", "column", "value"]


def test_rates_are_events_over_time(rng):
    model = fitted(unit(rng.standard_normal((4, 2, 6))))
    code = model.transform([rng.standard_normal((2, n)) for n in (50, 30)], l0_sparseness=3)
    np.testing.assert_allclose(code.rates(), code.counts() / 80)
    np.testing.assert_allclose(code.rates(1000.0), code.counts() / 0.08)
    with pytest.raises(ValueError, match="sampling_rate must be above 0"):
        code.rates(0)


def test_two_readings_of_a_dictionary_are_an_error(rng):
    square = unit(rng.standard_normal((3, 5, 5)))
    with pytest.raises(ValueError, match="signals of 5 channels or images of 5 rows"):
        convolutional_encode(rng.standard_normal((5, 40)), square, l0_sparseness=2)
    assert convolutional_encode(rng.standard_normal((9, 40)), square, l0_sparseness=2).n_events == 2


def test_windows_cover_signals(rng):
    signals = [rng.standard_normal((2, 1, n)) for n in (100, 64, 333)]
    windows = Windows(signals, 64, np.float32)
    assert windows.shape == (len(windows), 2, 1, 64) and windows[:].dtype == np.float32
    found = {tuple(row) for row in windows[:][:, 0, 0]}
    for signal in signals:
        assert tuple(signal[0, 0, -64:].astype(np.float32)) in found
    np.testing.assert_array_equal(windows[3], windows[np.array([0, 3])][1])


# ------------------------------------------------------------------------------------- learning


def cosines(model, atoms):
    """For each planted atom its largest |cosine| with a learned one, over shifts."""
    best = np.zeros(len(atoms))
    for i, atom in enumerate(atoms):
        for learned in model.components_.astype(float):
            product = sum(np.correlate(a, b, "full") for a, b in zip(atom, learned, strict=True))
            best[i] = max(best[i], np.abs(product).max())
    return best


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("do_sym", [False, True])
def test_planted_waveforms_are_learned(n_channels, do_sym):
    X, atoms, (times, *_) = recording(n_channels=n_channels, is_signed=do_sym)
    model = ConvolutionalSHL(3, atom_shape=16, do_sym=do_sym, record_each=0, random_state=0)
    model.fit(X.astype(np.float32))
    assert (cosines(model, atoms) > 0.95).all()
    code = model.transform(X)
    assert abs(code.n_events - len(times)) < 0.1 * len(times)
    noise = (10**-1.4 * X.size / (16 * n_channels)) ** 0.5
    assert np.linalg.norm(X - model.inverse_transform(code)) < 1.2 * noise


def test_missing_entries_are_not_learned_from(rng):
    X, atoms, *_ = recording(n_channels=3)
    X[rng.random(X.shape) < 0.1] = np.nan
    model = ConvolutionalSHL(3, atom_shape=16, n_iter=40, record_each=30, random_state=0).fit(X)
    assert (cosines(model, atoms) > 0.95).all()
    assert np.isfinite(model.record_["error"]).all()


def test_lists_maps_and_streams_are_learned(tmp_path):
    X, atoms, *_ = recording(n_channels=2)
    np.save(tmp_path / "x.npy", X)
    model = ConvolutionalSHL(3, atom_shape=16, record_each=0, random_state=0)
    mapped = clone(model).fit(np.load(tmp_path / "x.npy", mmap_mode="r"))
    np.testing.assert_array_equal(mapped.components_, clone(model).fit(X).components_)
    for given_ in ([X[:, :5000], X[:, 5000:]], (X[:, i : i + 4000] for i in (0, 4000, 8000))):
        learned = clone(model).set_params(n_iter=10, batch_size=8).fit(given_)
        assert learned.components_.shape == (3, 2, 16)
    assert clone(model).partial_fit(X).partial_fit(X[:, :3000]).n_iter_ > 1


def test_images_of_several_sizes_learn_as_an_array(images):
    """The same rule as for images of one size."""
    options = {"n_iter": 4, "l0_sparseness": 5, "random_state": 0, "batch_size": 4}
    model = ConvolutionalSHL(6, atom_shape=(5, 5), **options).fit(images)
    square = ConvolutionalSHL(6, patch_width=5, **options).fit(images)
    np.testing.assert_array_equal(model.components_, square.components_)
    ragged = [image[0] for image in images[:4]] + [image[0, 2:, 1:] for image in images[4:]]
    learned = ConvolutionalSHL(6, atom_shape=(4, 7), record_each=2, **options).fit(ragged)
    assert learned.components_.shape == (6, 1, 4, 7)
    np.testing.assert_allclose(learned.components_, unit(learned.components_), rtol=1e-6)


def test_dense_codes_of_signals_are_decoded(rng):
    model = fitted(unit(rng.standard_normal((4, 2, 6))))
    code = model.transform(rng.standard_normal((3, 2, 50)), l0_sparseness=5)
    dense = code.toarray()[:, :, 0]
    np.testing.assert_allclose(model.inverse_transform(dense), model.inverse_transform(code))
    assert isinstance(code, ConvolutionalCode)


@pytest.mark.filterwarnings("ignore:.* images did not reach fit_tol:UserWarning")
@pytest.mark.parametrize("dtype, power", [(np.float32, 90), (np.float64, 400)])
def test_any_scale_gives_the_same_bits(images, dtype, power):
    X, *_ = recording(n_channels=2, n_times=2000)
    X[0, 5] = np.nan
    for data, options in (
        (X, {"atom_shape": 16, "n_iter": 12}),
        (images, {"patch_width": 5, "n_iter": 4, "replace": True}),
        ([images[0, 0], images[1, 0, 3:]], {"atom_shape": (4, 5), "n_iter": 4}),
    ):
        found, energy = [], sum(float(np.nansum(x.astype(float) ** 2)) for x in data) / len(data)
        for exponent in (0, power, -power):
            scale = dtype(2.0) ** exponent
            Y = [scale * x.astype(dtype) for x in data]
            Y = Y if isinstance(data, list) else np.array(Y)
            model = ConvolutionalSHL(3, random_state=0, record_each=2, **options).fit(Y)
            code = model.transform(Y)
            fit_tol = 0.5 * float(scale) ** 2 * energy
            tol = convolutional_encode(Y, model.components_, fit_tol=fit_tol)
            assert tol.n_events > 3
            found.append((model.components_, code.value / scale, code.column, tol.column))
        for other in found[1:]:
            for one, two in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(one, two)
