import argparse
import subprocess
import sys
from inspect import signature

import pytest

from shl import SHL
from shl.annex.study import Study
from shl.cli import main as cli
from shl.cli.flags import SHARED, add_parameter, given
from shl.convolution.estimator import ConvolutionalSHL
from shl.experiments.scan import SHL_set
from shl.learning.homeostasis import RULES
from shl.networks.studies import group_sparsity, regularization, set_evolution


def actions(name):
    """{destination: flag} of a command."""
    parser = cli._make_parser(name)
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {action.dest: action for action in commands.choices[name]._actions}


def test_a_flag_is_of_the_parameter_it_fills():
    def work(n=3, rate=0.5, name="a", seeds=(1, 2), is_fast=False, most: float | None = None):
        pass

    parser = argparse.ArgumentParser()
    for name in ("n", "rate", "name", "seeds", "is_fast", "most"):
        add_parameter(parser, work, name, "text")
    wanted = {"n": 3, "rate": 0.5, "name": "a", "seeds": [1, 2], "is_fast": False, "most": None}
    assert vars(parser.parse_args([])) == wanted
    args = parser.parse_args(
        ["--n", "4", "--rate", "1", "--seeds", "7", "--is-fast", "--most", "2"]
    )
    assert (args.n, args.rate, args.seeds, args.is_fast, args.most) == (4, 1.0, [7], True, 2.0)
    assert isinstance(args.rate, float) and isinstance(args.most, float)


@pytest.mark.parametrize(
    ("name", "source", "names"),
    [
        ("learn", SHL, ("name_database", "N_patches", "n_iter", "homeo_method", "seed")),
        ("scan", SHL_set, ("N_scan", "base")),
        ("annex", Study, ("scale", "database", "datapath")),
        ("conv-learn", ConvolutionalSHL, ("eta", "eta_homeo", "batch_size")),
        ("regularization", regularization.learn_one, ("n_samples", "loss")),
        ("group-sparsity", group_sparsity.learn_one, ("alpha", "n_samples")),
        ("set", set_evolution.evolve_one, ("n_samples", "normalized")),
    ],
)
def test_defaults_are_those_of_the_objects(name, source, names):
    found = actions(name)
    for parameter in names:
        default = signature(source).parameters[parameter].default
        default = list(default) if isinstance(default, tuple) else default
        assert found[parameter].default == default, parameter


def test_rules_of_the_help_are_all_rules():
    assert actions("scan")["homeo_method"].choices == tuple(RULES)


@pytest.mark.parametrize("command", cli.LIST, ids=lambda command: command.name)
def test_shared_flags_are_alike(command):
    found = actions(command.name)
    assert {"quiet", "json"} <= set(found)
    for name in set(found) & set(SHARED):
        assert found[name].help.startswith(SHARED[name]["help"])
        assert f"--{name.replace('_', '-')}" in found[name].option_strings


def test_a_list_of_results_takes_few_imports(tmp_path):
    code = "import sys; from shl.cli.main import main; main(['cache', 'ls', '--cache-dir', '.']); "
    code += "sys.exit(bool({'numba', 'scipy', 'sklearn', 'joblib', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize("command", cli.LIST, ids=lambda command: command.name)
def test_help_says_what_a_command_does(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command.name, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert command.text[1:20] in text and "(default:" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["learn", "--n-dictionnary", "5"], "--n-dictionnary 5: did you mean --n-dictionary?"),
        (["conv-learn", "--n-iterations=3"], "--n-iterations=3: did you mean --n-iter?"),
        (["cache", "ls", "--xyzzy"], "--xyzzy. See shl cache --help\n"),
    ],
)
def test_an_unknown_flag_names_the_nearest(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert f"shl {arguments[0]}: error: unrecognized arguments: {said}" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["learn", "--n-iter", "0"], "argument --n-iter: must be at least 1, not 0"),
        (["learn", "--n-iter", "few"], "argument --n-iter: must be an integer"),
        (["learn", "--alpha-homeo", "-1"], "argument --alpha-homeo: must be above 0, not -1.0"),
        (["learn", "--homeo-fade", ".5", ".2"], "--homeo-fade must have its start below its stop"),
        (["learn", "--patch-width", "300"], "--patch-width must be at least 4 and at most 256"),
        (["learn", "--datapath", "/no/where"], "--datapath must be a folder or a file"),
        (["learn", "--n-patches", "99", "--quiet"], "at least 2048, not 99: --batch-size = 1024"),
        (["learn", "--homeo-method", "HIP"], "argument --homeo-method: invalid choice: 'HIP'"),
        (["learn", "--database", "nowhere"], "--database must be"),
        (["scan", "--variable", "foo"], "--variable must be one of 'height', "),
        (["scan", "--base", "1"], "argument --base: must be above 1"),
        (["cache", "clear", "--older-than", "-1"], "--older-than must be at least 0"),
        (["cache", "ls", "--cache-dir", "/no/where"], "--cache-dir must be a folder of results"),
        (["annex", "--n-seeds", "1"], "--n-seeds must be at least 2"),
        (["conv-learn", "--n-iter", "0"], "argument --n-iter: must be at least 1"),
        (["conv-learn", "--n-images", "0"], "argument --n-images: must be at least 1"),
        (["conv-learn", "--size", "8"], "--size must be at least 9, not 8"),
        (["conv-learn", "--database", "nowhere"], "--database must be"),
    ],
)
def test_bad_values_exit_with_2_and_name_the_flag(arguments, said, capsys, tmp_path):
    if arguments[0] != "cache":
        arguments = [*arguments, "--out", str(tmp_path / "out")]
    try:
        code = cli.main(arguments)
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2 and said in error, error
    assert error.startswith(f"shl {arguments[0]}: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_flags_fill_the_parameters_of_a_rule():
    words = "--homeo-method EXP --alpha-homeo .1 --c 2 --nb-quant 64 --homeo-fade .1 .5"
    words += " --patch-height 8 --color --no-do-mask"
    args = cli._make_parser("learn").parse_args(["learn", *words.split()])
    shl = SHL(**given(args, SHL, cache_dir=None))
    assert (shl.homeo_method, shl.alpha_homeo, shl.C, shl.nb_quant) == ("EXP", 0.1, 2.0, 64)
    assert (list(shl.homeo_fade), shl.patches.shape) == ([0.1, 0.5], (8, 21, 3))
    assert shl.do_mask is False


@pytest.mark.filterwarnings("always")
def test_control_codes_do_not_reach_the_terminal(tmp_path, capsys):
    evil = "\x1b]0;owned\x07\nfake"
    (tmp_path / evil).mkdir()
    (tmp_path / evil / "a.png").write_text("no image")
    flags = ["--out", str(tmp_path / "out"), "--cache-dir", "none"]
    cli.main(["learn", "--datapath", str(tmp_path / evil), *flags])
    cli.main(["show", str(tmp_path / evil / "no model.npz")])
    with pytest.raises(SystemExit):
        cli.main(["show", "model.npz", evil])
    said = "".join(capsys.readouterr())
    assert said.count("\\x1b]0;owned\\x07\\nfake") >= 3
    assert not {"\x1b", "\x07"} & set(said)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("le", {"learn"}),
        ("learn --alpha", {"--alpha-homeo"}),
        ("scan --homeo-method HE", {"HEH", "HEH2019"}),
        ("cache v", {"verify"}),
        ("show mod", {"model.npz"}),
    ],
)
def test_the_shell_completes_flags_and_files(words, found, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--print-completion", "bash"])
    (tmp_path / "shl.bash").write_text(capsys.readouterr().out)
    (tmp_path / "model.npz").write_bytes(b"")
    script = """source ./shl.bash; COMP_WORDS=(shl "$@"); COMP_CWORD=$#
        _shtab_shl shl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf "%s\\n" "${COMPREPLY[@]}" """
    run = ["bash", "-c", script, "bash", *words.split()]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == found


def test_completion_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["--print-completion", "zsh"])
    assert "completion needs shtab: pip install shtab" in capsys.readouterr().err
