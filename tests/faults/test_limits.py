"""What cannot be is refused at once, by the name of its parameter."""

import time

import numpy as np
import pytest
from running import SMALL

from shl import SHL, SHL_set, SparseHebbianLearning
from shl._base.checks import memory_bytes
from shl.annex import convolution as study
from shl.cli import main as cli
from shl.convolution import ConvolutionalSHL
from shl.convolution.events import ConvolutionalCode
from shl.datasets import fetch_natural_images
from shl.learning.homeostasis import ActivationRule

X = np.random.default_rng(0).standard_normal((60, 16))
IMAGES = np.random.default_rng(0).standard_normal((3, 1, 20, 20))
LARGE = {
    "nb_quant": lambda: SparseHebbianLearning(20, nb_quant=2**31).fit(X),
    "nb_quant of HEH": lambda: SparseHebbianLearning(20, homeo_method="HEH", nb_quant=2**40).fit(X),
    "nb_quant of SHL": lambda: SHL(nb_quant=2**31, cache_dir=None),
    "N_patches": lambda: SHL(N_patches=10**12, cache_dir=None),
    "height": lambda: SHL(height=10**7, width=10**7, cache_dir=None),
    "n_image": lambda: SHL(name_database="dead_leaves", n_image=10**9, cache_dir=None),
    "N_scan": lambda: SHL_set({"cache_dir": None}, N_scan=10**9),
    "the grid": lambda: SHL_set(
        {"cache_dir": None}, values={name: range(10**4) for name in ("seed", "n_iter", "eta")}
    ).tasks(["seed", "n_iter", "eta"], grid=True),
    "n_dictionary": lambda: SparseHebbianLearning(10**9).fit(X),
    "n_dictionary of images": lambda: ConvolutionalSHL(10**8, 5).fit(IMAGES),
    "n_images": lambda: study.load("sample", n_images=10**9, size=500),
}


@pytest.mark.parametrize("how", LARGE)
def test_more_than_the_memory_is_refused_by_name(how):
    began = time.process_time()
    with pytest.raises(ValueError, match=how.split(" of ")[0]) as caught:
        LARGE[how]()
    assert time.process_time() - began < 10
    if how != "n_dictionary":
        assert "GB of memory, but this machine has" in str(caught.value)
    assert memory_bytes() > 1e8


COMMANDS = {
    "N_patches": ["learn", "--n-patches", str(10**12)],
    "N_scan": ["scan", "--n-scan", str(10**9)],
    "n_images": ["conv-learn", "--n-images", str(10**10)],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_refuse_more_than_the_memory(name, tmp_path, capsys):
    flags = ["--out", str(tmp_path / "out"), "--cache-dir", "none", "--quiet"]
    assert cli.main([*COMMANDS[name], *flags]) == 2
    assert f"{COMMANDS[name][1]} = " in (said := capsys.readouterr().err)
    assert "GB of memory" in said


# ------------------------------------------------------------------------------- names in messages


def test_layers_are_named():
    pytest.importorskip("torch")
    from shl.networks import SparseMLPRegressor

    for bad in (None, 3.5, "many", {1: 2}):
        with pytest.raises((TypeError, ValueError), match="hidden_layer_sizes"):
            SparseMLPRegressor(hidden_layer_sizes=bad, max_iter=1).fit(X, X[:, 0])


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/b", "..", "", "a\\b", "x\0y", 3, None])
def test_a_configuration_s_name_is_a_file_s(name):
    from shl.networks.teacher_student.configs import Config

    with pytest.raises((TypeError, ValueError), match="name must be"):
        Config(name=name)
    assert Config(name="my study, 1.5").name == "my study, 1.5"


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff\xfe{", b"", b"{", b"[1]", b"1e999"])
def test_a_configuration_that_is_no_json_is_named(tmp_path, text):
    from shl.networks.teacher_student.configs import load_config

    (tmp_path / "mine.json").write_bytes(text)
    with pytest.raises((ValueError, TypeError), match=r"mine\.json"):
        load_config(tmp_path / "mine.json")


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "a/b.png", ".."])
def test_downloads_stay_in_their_folder(tmp_path, name):
    pytest.importorskip("pooch")
    with pytest.raises(ValueError, match="registry must be the name of a file"):
        fetch_natural_images(tmp_path / "kept", base_url="http://127.0.0.1:9/", registry={name: ""})
    assert not list(tmp_path.iterdir())


def test_an_empty_code_is_a_code():
    empty = np.zeros(0, np.int32)
    code = ConvolutionalCode(empty, empty, empty, empty, np.zeros(0), (2, 3, 4, 5))
    assert code.toarray().shape == (2, 3, 4, 5) and code.counts().tolist() == [0, 0, 0]
    assert code.reconstruct(np.full((3, 1, 2, 2), 0.5), (5, 6)).shape == (2, 1, 5, 6)


# ------------------------------------------------- one value of a scan that fails stops no other


class Raising(ActivationRule):
    """A rule that raises from its second step on."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def gain(self, p, target):
        if p.std() > 0:
            raise self.error
        return np.ones_like(p)


class Endless(ActivationRule):
    """A rule that has no key, for it refers to itself."""

    def __init__(self):
        super().__init__()
        self.me = [self]

    def gain(self, p, target):
        return np.ones_like(p)


FAILING = {  # for rules whose competition is bad, see test_divergence.py
    "a rule that raises KeyError": ("homeo_method", Raising(KeyError("lost"))),
    "a rule that raises StopIteration": ("homeo_method", Raising(StopIteration("end"))),
    "a rule that raises MemoryError": ("homeo_method", Raising(MemoryError("full"))),
    "a rule without a key": ("homeo_method", Endless()),
    "no rule": ("homeo_method", object()),
    "an impossible height": ("height", 10**5),
    "a height that is no number": ("height", "high"),
    "a missing database": ("name_database", "nowhere"),
    "a database that is no text": ("name_database", 7),
    "too many images": ("n_image", 77),
    "more patches than memory": ("N_patches", 10**12),
    "too few patches": ("N_patches", 60),
    "a huge table": ("nb_quant", 2**31),
    "a seed that is no number": ("seed", [1]),
    "an overflow": ("eta", 10**400),
}


@pytest.mark.parametrize("how", FAILING)
def test_a_value_that_fails_stops_nothing_else(tmp_path, how):
    variable, bad = FAILING[how]
    good = getattr(SHL(**SMALL, cache_dir=None), variable)
    good = 2 if variable == "n_image" else good
    experiments = SHL_set({**SMALL, "cache_dir": tmp_path}, values={variable: [bad, good]})
    records = experiments.run([variable])
    failed = "without a key" not in how
    assert [record["status"] for record in records] == ["failed", "done"] or not failed
    assert records[1]["status"] == "done" and np.isfinite(records[1]["F"])
    if failed:
        assert records[0]["failure"] and "F" not in records[0]


@pytest.mark.slow  # test_jobs.py has workers that start faster
def test_workers_record_what_fails(tmp_path):
    values = [Raising(KeyError("lost")), "HAP", Raising(ValueError("bad")), "None"]
    experiments = SHL_set({**SMALL, "cache_dir": tmp_path}, values={"homeo_method": values})
    records = experiments.run(["homeo_method"], n_jobs=2)
    assert [r["status"] for r in records] == ["failed", "done", "failed", "done"]
    assert "lost" in records[0]["failure"] and "bad" in records[2]["failure"]
