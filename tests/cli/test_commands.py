import argparse

import pytest

from shl import SHL
from shl.annex.study import Study
from shl.cli import main as cli
from shl.cli.flags import SHARED, add_parameter
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
    args = parser.parse_args([])
    assert vars(args) == {
        "n": 3,
        "rate": 0.5,
        "name": "a",
        "seeds": [1, 2],
        "is_fast": False,
        "most": None,
    }
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
        ("conv-learn", ConvolutionalSHL, ("eta", "eta_homeo", "batch_size", "l0_sparseness")),
        ("regularization", regularization.learn_one, ("n_samples", "loss")),
        ("group-sparsity", group_sparsity.learn_one, ("alpha", "n_samples")),
        ("set", set_evolution.evolve_one, ("n_samples", "normalized")),
    ],
)
def test_defaults_are_those_of_the_objects(name, source, names):
    from inspect import signature

    found = actions(name)
    for parameter in names:
        default = signature(source).parameters[parameter].default
        default = list(default) if isinstance(default, tuple) else default
        assert found[parameter].default == default, parameter


def test_rules_of_the_help_are_all_rules():
    assert all(rule in actions("scan")["homeo_method"].help for rule in RULES)
    assert set(SHL_set().values_of("homeo_method")) == set(RULES)


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_shared_flags_are_alike(command):
    found = actions(command.name)
    assert {"quiet", "json"} <= set(found)
    for name in set(found) & set(SHARED):
        assert found[name].help.startswith(SHARED[name]["help"])
        assert f"--{name.replace('_', '-')}" in found[name].option_strings


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
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
        (["cache", "ls", "--xyzzy"], "--xyzzy\n"),
    ],
)
def test_an_unknown_flag_names_the_nearest_of_its_command(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert f"shl {arguments[0]}: error: unrecognized arguments: {said}" in error
