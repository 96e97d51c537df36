"""The commands of the networks, added to `shl`; importable without PyTorch."""

from importlib import import_module

# Modules with `add_command(commands)`, which returns the command's parser.
COMMANDS = ("regularization", "group_sparsity", "set_evolution", "teacher_command")


def add_commands(commands):
    """Add each module's command, which says what to install where the extra is missing."""
    for name in COMMANDS:
        parser = import_module(f".{name}", __package__).add_command(commands)
        parser.set_defaults(run=_Guarded(parser.get_default("run")))


class _Guarded:
    """A command that first sees whether PyTorch is there."""

    def __init__(self, run):
        self.run = run

    def __call__(self, args):
        for module in ("torch", "skorch"):
            try:
                import_module(module)
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError(
                    f'{module} is not installed: pip install "shl[networks]"'
                ) from error
        return self.run(args)
