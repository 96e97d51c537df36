import json
import re

import numpy as np
import pytest
from making import EXPERIMENT
from scipy import stats

from shl import SHL, metrics
from shl.annex import report, tasks
from shl.annex.study import RULES, SCALES, Study, code, evaluate
from shl.annex.tables import claims_table, comparisons, means_table
from shl.cli import main as cli
from shl.coding.events import Events


def test_comparisons_are_adjusted_paired_tests():
    low, high = np.array([1.0, 2, 3, 4]), np.array([1.5, 2.4, 3.6, 4.5])
    rows = comparisons([("F", "a", "b", low, high), ("F", "b", "a", high, low)])
    p = stats.ttest_rel(low, high).pvalue
    assert rows[0] == ["F", "a", "b", pytest.approx(-0.5), pytest.approx(p), "holds"]
    assert rows[1][-1] == "does not hold"
    crowd = [("F", "a", str(i), [1, 2, 3], [1.5, 1.5, 3.1 + 0.01 * i]) for i in range(9)]
    adjusted = comparisons([("F", "a", "b", low, high), *crowd])[0][4]
    assert adjusted == pytest.approx(10 * p)
    assert all(row[-1] == "open" for row in comparisons(crowd))


def test_too_few_pairs_are_not_tested():
    row = comparisons([("F", "a", "b", [1.0, 1.1], [2.0, 2.2])])[0]
    assert np.isnan(row[4]) and row[5] == "open"
    assert comparisons([("F", "a", "a", [1, 2, 3], [1, 2, 3])])[0][5] == "open"
    constant = np.array([0.3, 0.7, 0.9])
    assert comparisons([("F", "a", "b", constant, constant + 0.1)])[0][5] == "open"


def test_tables_of_means_and_of_claims():
    found = {("HAP", 0.1): {"F": [1.0, 3.0]}, ("HEH", 0.1): {"F": [2.0]}}
    lines = means_table(["rule", "eta"], ["F"], found)
    assert lines[0] == "| rule | eta | F |"
    assert lines[2:] == ["| HAP | 0.1 | 2.0 +- 1.4 |", "| HEH | 0.1 | 2 |", ""]
    header, _, row, _ = claims_table([("F", "a", "b", [1.0, 2, 3], [1.5, 2.4, 3.6])])
    assert header == "| measure | first | second | difference | p | claim |"
    assert row == "| F | a | b | -0.5 | 0.01307 | holds |"


def test_psnr_of_a_known_error():
    clean = np.full((8, 8), 0.5)
    assert tasks.psnr(clean, clean + 0.1) == pytest.approx(20)


def test_denoising_by_codes_and_by_pca_removes_noise(rng):
    clean = np.add.outer(np.linspace(0, 1, 40), np.linspace(0, 1, 40)).astype(np.float32) / 2
    noisy = clean + tasks.NOISE * rng.standard_normal(clean.shape).astype(np.float32)
    before = tasks.psnr(clean, noisy)
    assert tasks.psnr(clean, tasks._by_pca(noisy)) > before + 5
    assert tasks.psnr(clean, tasks._by_codes(noisy, rng.standard_normal((80, 64)))) > before + 5


def test_scales_are_those_of_the_study():
    wanted = {"patch_width": 21, "n_dictionary": 676, "l0_sparseness": 21, "n_iter": 4097}
    assert wanted.items() <= SCALES["paper"].opts.items() and SCALES["paper"].n_seeds == 10


def test_bad_scales_and_sections_are_named(tmp_path, capsys):
    assert cli.main(["annex", "--only", "figure_9", "--out", str(tmp_path)]) == 2
    assert "--only must be one of 'answers', 'figures_1_3'" in capsys.readouterr().err


def test_entropy_and_divergence_agree(rng):
    indices = np.argsort(rng.random((50, 8)), axis=1)[:, :3].astype(np.int32)
    found = Events(indices, rng.exponential(0.3, (50, 3)), 8)
    expected = (1 - metrics.usage_entropy(found)) * np.log(8)
    assert metrics.kl_divergence(found) == pytest.approx(expected)


def test_ks_distance_is_the_largest_difference():
    P_cum = np.array([[0, 0.5, 1], [0, 0.7, 1], [0, 0.9, 1.0]])
    np.testing.assert_allclose(metrics.ks_distance(P_cum), [0.2, 0, 0.2], atol=1e-12)


SMALL = EXPERIMENT | {"N_patches": 1500, "n_dictionary": 40, "l0_sparseness": 4, "n_iter": 40}
SMALL |= {"record_each": 40, "record_num_batches": 300, "one_over_F": False}


@pytest.mark.parametrize("rule", RULES)
def test_the_measures_agree_with_the_records(tmp_path, rule):
    shl = SHL(**SMALL, homeo_method=rule, cache_dir=tmp_path)
    data = shl.get_data()
    model = shl.learn_dico(data)
    held_out = np.setdiff1d(np.arange(1500), _learned_rows(1500, 300, shl.seed))
    found = evaluate(model, data[held_out])
    last = model.record_.last()
    for name in ("error", "error_own", "entropy", "perror", "KL"):
        assert found[name] == pytest.approx(last[name], rel=1e-5), name
    if rule == "None":
        assert found["F"] == found["F_own"] and found["qerror"] == found["qerror_own"]


def _learned_rows(n_samples, n_held_out, seed):
    """The rows that `fit` keeps to learn from."""
    rng = np.random.default_rng(seed)
    rng.integers(2**63)
    return rng.permutation(n_samples)[n_held_out:]


def test_codes_of_either_sign_leave_less_error(tmp_path):
    shl = SHL(**SMALL, cache_dir=tmp_path)
    data = shl.get_data()
    model = shl.learn_dico(data)
    assert code(model, data, do_sym=True, algorithm="omp")[1] < code(model, data)[1]


def test_sections_are_joined_and_a_failed_one_says_so(tmp_path, monkeypatch, capsys):
    def works(study, out):
        yield "a line"

    def fails(study, out):
        yield "half"
        raise RuntimeError("learning diverged")

    monkeypatch.setattr(report, "SECTIONS", {"one": ("One", works), "two": ("Two", fails)})
    options = ["--out", str(tmp_path), "--cache-dir", "none", "--only"]
    assert cli.main(["annex", *options, "one"]) == 0
    assert cli.main(["annex", *options, "two"]) == 1
    assert re.search(r"two: \d+\.\d s, failed: learning diverged", capsys.readouterr().out)
    text = (tmp_path / "report.md").read_text()
    assert cli.main(["annex", "--scale", "paper", *options, "one"]) == 0
    assert "holds another run" in capsys.readouterr().err
    assert "## One\n\na line" in text and "## Two" in text and "Failed: learning diverged" in text


@pytest.mark.slow
@pytest.mark.timeout(2400)  # every section, on two workers
def test_the_quick_annex_has_every_section_and_figure(tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["annex", "--cache-dir", str(tmp_path / "cache"), "--out", str(out)]
    assert cli.main([*flags, "--scale", "quick", "--n-jobs", "2", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["sections"]) == list(report.SECTIONS) and not summary["failures"]
    text = (out / "report.md").read_text()
    assert all(f"## {title}" in text for title, _ in report.SECTIONS.values())
    pictures = re.findall(r"\]\(([^)]+)\)", text)
    assert {"figure_1.png", "figure_2.png", "figure_3.png"} <= set(pictures)
    assert all((out / name).stat().st_size > 5000 for name in pictures)
    assert all((out / name).with_suffix(".pdf").exists() for name in pictures)
    verdicts = re.findall(r"\| (holds|does not hold|open) \|", text)
    assert len(verdicts) >= 40
    began = {path: path.stat().st_mtime for path in (tmp_path / "cache").iterdir()}
    assert cli.main([*flags, "--only", "answers", "--quiet"]) == 0
    assert {path: path.stat().st_mtime for path in (tmp_path / "cache").iterdir()} == began


def test_a_study_has_n_seeds_learnings():
    study = Study("paper", n_seeds=2)
    assert study.seeds == study.few_seeds == [42, 43] and study.scale.n_planted == 2
