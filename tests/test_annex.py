import json
import re

import numpy as np
import pytest
from scipy import stats

from shl import cli, metrics
from shl.annex import report, tasks
from shl.annex.planted import PROFILES, plant, recovered
from shl.annex.study import SCALES, Study
from shl.annex.tables import compare, table


@pytest.mark.parametrize("profile", PROFILES)
def test_planted_samples_are_sums_of_their_atoms(rng, profile):
    X, atoms, code = plant(500, n_pixels=16, n_atoms=20, n_active=3, noise=0, profile=profile, rng=rng)
    np.testing.assert_allclose(X, code @ atoms, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1)
    assert ((code != 0).sum(axis=1) == 3).all() and (code >= 0).all()


def test_profiles_of_planted_samples(rng):
    used = {profile: plant(4000, n_atoms=20, profile=profile, rng=rng)[2] for profile in PROFILES}
    counts = {profile: (code != 0).sum(axis=0) for profile, code in used.items()}
    assert counts["equal"].max() < 1.3 * counts["equal"].min()
    assert counts["1/rank"][0] > 5 * counts["1/rank"][-1]
    strong = used["half stronger"]
    assert strong[:, ::2].max() > 2.9 and strong[:, 1::2].max() <= 1.5


def test_recovered_counts_atoms_up_to_the_cosine():
    atoms = np.eye(3)
    found = recovered(np.array([[1, 0.1, 0], [0, 1, 1]]) / np.array([[1.005], [2**0.5]]), atoms)
    np.testing.assert_array_equal(found, [True, False, False])


def test_compare_is_a_paired_test():
    low, high = np.array([1.0, 2, 3, 4]), np.array([1.5, 2.4, 3.6, 4.5])
    difference, p, verdict = compare(low, high)
    assert difference == pytest.approx(-0.5) and p == stats.ttest_rel(low, high).pvalue and verdict == "holds"
    assert compare(high, low)[2] == "does not hold"
    assert compare([1, 2, 3], [1.5, 1.5, 3.1])[2] == "open"
    assert compare([1.0], [2.0])[2] == "open"


def test_a_table_is_markdown():
    assert table(["a", "b"], [[1, 0.123456], ["x", np.nan]]) == [
        "| a | b |", "|---|---|", "| 1 | 0.1235 |", "| x | - |", ""]


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
    paper = SCALES["paper"]
    assert (paper.opts["patch_width"] ** 2, paper.opts["n_dictionary"], paper.opts["l0_sparseness"]) == (441, 676, 21)
    assert paper.opts["n_iter"] == 4097 and paper.n_seeds == 10


def test_bad_scales_and_sections_are_named(tmp_path, capsys):
    with pytest.raises(ValueError, match="scale must be one of 'quick', 'paper', not 'huge'"):
        Study("huge")
    assert cli.main(["annex", "--only", "figure_9", "--out", str(tmp_path)]) == 1
    assert "only must be one of 'answers', 'figures_1_3'" in capsys.readouterr().err


def test_entropy_and_divergence_agree(rng):
    from test_homeostasis import events

    found = events(rng)
    expected = (1 - metrics.usage_entropy(found)) * np.log(8)
    assert metrics.kl_divergence(found) == pytest.approx(expected)


def test_ks_distance_is_the_largest_step_between_distributions():
    P_cum = np.array([[0, 0.5, 1], [0, 0.7, 1], [0, 0.9, 1.0]])
    np.testing.assert_allclose(metrics.ks_distance(P_cum), [0.2, 0, 0.2], atol=1e-12)


@pytest.mark.slow
def test_the_quick_annex_has_every_section_and_figure(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["annex", "--scale", "quick", "--n-jobs", "2", "--cache-dir", str(tmp_path / "cache"),
                     "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["sections"]) == list(report.SECTIONS)
    text = (out / "report.md").read_text()
    assert all(f"## {title}" in text for title, _ in report.SECTIONS.values())
    pictures = re.findall(r"\]\(([^)]+)\)", text)
    assert {"figure_1.png", "figure_2.png", "figure_3.png"} <= set(pictures)
    assert all((out / name).stat().st_size > 5000 for name in pictures)
    assert all((out / name).with_suffix(".pdf").exists() for name in pictures if name.startswith("figure"))
    verdicts = re.findall(r"\| (holds|does not hold|open) \|", text)
    assert len(verdicts) >= 40
    began = {path: path.stat().st_mtime for path in (tmp_path / "cache").iterdir()}
    assert cli.main(["annex", "--only", "answers", "--cache-dir", str(tmp_path / "cache"), "--out", str(out),
                     "--quiet"]) == 0
    assert {path: path.stat().st_mtime for path in (tmp_path / "cache").iterdir()} == began
