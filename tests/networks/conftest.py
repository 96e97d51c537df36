"""What the tests of networks share."""

import json
import sys

import pytest
from students import QUICK

from shl.cli.main import main


@pytest.fixture(autouse=True)
def torch_as_before():
    """PyTorch has one thread in a test and draws the same numbers in any order of tests; its global
    random state after the test is that before.
    """
    if (torch := sys.modules.get("torch")) is None:
        yield
        return
    from shl.networks.mlp import one_thread

    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(0)
        yield


@pytest.fixture
def command(tmp_path):
    """A command on one worker, with folders `out` and `cache` of the test; gives its exit code."""

    def run(name, *arguments, cache=tmp_path / "cache"):
        places = ["--out", str(tmp_path / "out"), "--cache-dir", str(cache), "--n-jobs", "1"]
        try:
            return main([name, *places, *map(str, arguments)])
        except SystemExit as end:
            return end.code

    return run


@pytest.fixture
def config(tmp_path):
    """The file of a quick configuration with some other values."""

    def write(**values):
        path = tmp_path / "mine.json"
        path.write_text(json.dumps({**QUICK, **values}))
        return path

    return write
