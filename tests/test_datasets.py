import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest

from shl import datasets
from shl.datasets import PROFILES, make_sparse_coded_signals, recovered


@pytest.mark.parametrize("profile", PROFILES)
def test_planted_samples_are_sums_of_their_atoms(rng, profile):
    X, atoms, code = make_sparse_coded_signals(
        500, n_pixels=16, n_atoms=20, n_active=3, noise=0, profile=profile, random_state=rng
    )
    np.testing.assert_allclose(X, code @ atoms, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1)
    n_used = (code != 0).sum(axis=1)
    assert (code >= 0).all()
    assert (n_used.min(), n_used.max()) == ((1, 5) if profile == "zipf" else (3, 3))


def test_profiles_of_planted_samples(rng):
    options = {"n_atoms": 20, "random_state": rng}
    used = {
        profile: make_sparse_coded_signals(4000, profile=profile, **options)[2]
        for profile in PROFILES
    }
    counts = {profile: (code != 0).sum(axis=0) for profile, code in used.items()}
    assert counts["equal"].max() < 1.3 * counts["equal"].min()
    assert counts["1/rank"][0] > 5 * counts["1/rank"][-1]
    strong = used["half stronger"]
    assert strong[:, ::2].max() > 2.9 and strong[:, 1::2].max() <= 1.5


def test_recovered_counts_atoms_up_to_the_cosine():
    atoms = np.eye(3)
    found = recovered(np.array([[1, 0.1, 0], [0, 1, 1]]) / np.array([[1.005], [2**0.5]]), atoms)
    np.testing.assert_array_equal(found, [True, False, False])


def test_signs_are_drawn_where_asked(rng):
    options = {"n_pixels": 16, "n_atoms": 20, "noise": 0, "random_state": rng}
    X, atoms, code = make_sparse_coded_signals(500, profile="zipf", is_signed=True, **options)
    np.testing.assert_allclose(X, code @ atoms, atol=1e-5)
    assert 0.4 < (code < 0).sum() / (code != 0).sum() < 0.6


@pytest.mark.parametrize("n_channels", [1, 3])
def test_recordings_are_sums_of_waveforms(n_channels):
    options = {"snr": 100, "overlap": 0.5, "is_signed": True, "profile": "1/rank"}
    X, atoms, (times, which, values) = datasets.make_recording(
        30_000, 4, n_channels, 40, random_state=1, **options
    )
    np.testing.assert_allclose(np.sqrt((atoms**2).sum(axis=(1, 2))), 1)
    for time, atom, value in zip(times, which, values, strict=True):
        X[:, time : time + 40] -= value * atoms[atom]
    assert np.abs(X).max() < 1e-4
    counts = np.bincount(which)
    assert counts[0] > 2.5 * counts[3] and 0.3 < (values < 0).mean() < 0.7
    is_overlapped = np.diff(times, prepend=-40, append=30_040)
    is_overlapped = np.minimum(is_overlapped[1:], is_overlapped[:-1]) < 40
    assert 0.4 < is_overlapped.mean() < 0.6


def test_noise_of_recordings_has_its_colour():
    for colour in (0.0, 0.9):
        X, *_ = datasets.make_recording(50_000, overlap=0, snr=0, colour=colour)
        np.testing.assert_allclose(X.std(), 1 / 8, rtol=0.05)
        assert abs(np.corrcoef(X[0, 1:], X[0, :-1])[0, 1] - colour) < 0.02


def test_spikes_are_sums_of_one_to_three_templates(rng):
    X, templates = datasets.make_spikes(200, 5, noise=0, random_state=rng)
    assert X.shape == (200, 40)
    np.testing.assert_allclose(np.linalg.norm(templates, axis=1), 1)
    code, *_ = np.linalg.lstsq(templates.T, X.T, rcond=None)
    np.testing.assert_allclose(templates.T @ code, X.T, atol=1e-9)
    n_active = (np.abs(code) > 1e-6).sum(axis=0)
    assert set(n_active) == {1, 2, 3} and code.min() > -1e-6


def test_a_seed_decides_the_signals():
    for make in (make_sparse_coded_signals, datasets.make_spikes):
        first, second, other = (make(50, random_state=seed)[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, other)


def test_sample_patches_are_those_of_an_experiment():
    from shl import SHL

    X = datasets.load_sample_patches(300, 8, random_state=3)
    same = SHL(patch_width=8, N_patches=300, seed=3, cache_dir=None, batch_size=100, record_each=0)
    np.testing.assert_array_equal(X, same.get_data())


# -------------------------------------------------------------------------------------- fetching


@pytest.fixture
def server(tmp_path):
    """(URL of a server on this machine, {name: SHA-256} of its files, names asked for)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()
    registry = {}
    for name in ("a.png", "b.png"):
        content = name.encode() * 100
        (folder / name).write_bytes(content)
        registry[name] = hashlib.sha256(content).hexdigest()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", registry, asked
        running.shutdown()
        thread.join()


def test_images_are_fetched_once(server, tmp_path):
    pytest.importorskip("pooch")
    url, registry, asked = server
    for _ in range(2):
        paths = datasets.fetch_natural_images(tmp_path / "kept", base_url=url, registry=registry)
    assert [path.name for path in paths] == list(registry)
    assert paths[0].read_bytes() == b"a.png" * 100
    assert len(asked) == len(registry)


def test_what_is_not_as_registered_is_refused(server, tmp_path):
    pytest.importorskip("pooch")
    url, registry, _ = server
    with pytest.raises(ValueError, match=r"a\.png"):
        datasets.fetch_natural_images(tmp_path, base_url=url, registry={"a.png": "0" * 64})


def test_a_missing_network_is_said(tmp_path):
    pytest.importorskip("pooch")
    registry = {"a.png": "0" * 64}
    with pytest.raises(ConnectionError, match=r"a\.png.*put the images into"):
        datasets.fetch_natural_images(tmp_path, base_url="http://127.0.0.1:9/", registry=registry)


@pytest.mark.parametrize("kind", datasets.KINDS)
def test_untidy_worlds_have_their_atoms(kind):
    X, atoms = datasets.make_untidy_signals(kind, 3000, noise=0, random_state=1)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1)
    assert X.dtype == np.float32 and np.linalg.matrix_rank(atoms) == 64
    fires = datasets._draw_active(kind, np.random.default_rng(0), 20000, 128, 4)
    assert 3.7 < fires.sum(axis=1).mean() < 4.3
    together = (fires[:, ::4] & fires[:, 1::4]).sum() / fires[:, 1::4].sum()
    assert (0.65 < together < 0.8, together == 1) == (kind == "pairs", kind == "hierarchy")
    norms, spread = np.linalg.norm(X, axis=1), X.std(axis=0)
    assert (norms.max() > 20 * np.median(norms)) == (kind == "outliers")
    assert (spread.max() > 20 * spread.min()) == (kind == "pixel scale")
    assert (np.allclose(np.roll(atoms[0], 4), atoms[1])) == (kind == "shifts")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "least"),
    [
        ("pairs", {"learning_algorithm": "mp", "l0_sparseness": 10}, 0.8),
        ("hierarchy", {"learning_algorithm": "mp", "l0_sparseness": 10}, 0.5),
        ("outliers", {}, 0.98),
        ("pixel scale", {"whiten": "std"}, 0.98),
        ("pixel scale", {"whiten": "zca"}, 0.98),
        ("shifts", {}, 0.9),
    ],
)
def test_untidy_atoms_are_found(kind, options, least):
    from shl import SparseHebbianLearning

    shares = []
    for seed in range(3):
        X, atoms = datasets.make_untidy_signals(kind, random_state=seed)
        model = SparseHebbianLearning(
            128, **{"l0_sparseness": 4, "random_state": seed, **options}
        ).fit(X)
        shares.append(recovered(model.components_, atoms, is_signed=True).mean())
    assert np.mean(shares) >= least


@pytest.mark.slow
def test_atoms_that_fire_together_are_noticed(caplog):
    from shl import SparseHebbianLearning

    for kind, is_noticed in (("pairs", True), ("hierarchy", True), ("shifts", False)):
        caplog.clear()
        X, _ = datasets.make_untidy_signals(kind, random_state=3)
        SparseHebbianLearning(128, l0_sparseness=4, random_state=0).fit(X)
        assert ("learning_algorithm='mp'" in caplog.text) == is_noticed
