"""The commands of `shl.networks`; importing it needs neither PyTorch nor skorch."""

from . import group_sparsity, regularization, set_evolution

STUDIES = (regularization, group_sparsity, set_evolution)  # each has `add_command(commands)`


def add_commands(commands):
    """Add each study's command."""
    for study in STUDIES:
        study.add_command(commands)
