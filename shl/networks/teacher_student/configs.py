"""What a teacher-student study may be: names of models, JSON configurations, and the runs that they
stand for.
"""

import itertools
import json
import math
import numbers
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated

from ..._base import constraints as of
from ..._base.checks import check_file_name, check_number
from ...store.keys import key_of
from ..studies.data import identity_of, name_of

CONFIG_FOLDER = Path(__file__).parent / "config_files"
N_INPUTS, PATCH = 12, (4, 3)  # a filter of the first layer sees a row of a patch
NORMAL = "normal"
# (channels in, channels out, kernel = stride, filters in turn) of each layer; full layers have the
# inputs as channels
MODELS = {
    "baselineCNN": ((1, 1, 3, 1), (1, 1, 2, 1), (1, 1, 2, 1)),
    "multiChannelCNN": ((1, 4, 3, 1), (4, 4, 2, 1), (4, 1, 2, 1)),
    "splitFilterCNN": ((1, 1, 3, 2), (1, 1, 2, 2), (1, 1, 2, 1)),
    "fcn_128_128": ((12, 128, 1, 1), (128, 128, 1, 1), (128, 1, 1, 1)),
    "fcn_256_32": ((12, 256, 1, 1), (256, 32, 1, 1), (32, 1, 1, 1)),
    "fcn_1024_128": ((12, 1024, 1, 1), (1024, 128, 1, 1), (128, 1, 1, 1)),
}
SWEPT_ACTIVATIONS = ("sigmoid", "relu", "tanh")
MODEL_ACTIVATIONS = (*SWEPT_ACTIVATIONS, "gelu")
# What decides a result beside the run.  Raise the version when a learning would give another
# result: stored ones are then not used.
IDENTITY = {"study": "teacher-student", "version": 4}


def _check_numbers(value, name, may_be_empty=False, **bounds):
    """A list of numbers within bounds; a number counts as a list of one."""
    values = [value] if isinstance(value, numbers.Real) and not isinstance(value, bool) else value
    if not isinstance(values, list | tuple):
        raise TypeError(f"{name} must be a list of numbers, not {value!r}")
    if not values and not may_be_empty:
        raise ValueError(f"{name} must hold at least one number, not {value!r}")
    return [check_number(item, f"{name}[{index}]", **bounds) for index, item in enumerate(values)]


def _check_clipping(value, name):
    """A size; False is none."""
    return 0.0 if value is False else check_number(value, name, least=0)


def _numbers(**options):
    """A constraint on the numbers of a list."""
    bad = ("0", [True], [math.nan])
    return of.Constraint(partial(_check_numbers, **options), "numbers", bad=bad)


FileName = Annotated[str, of.Constraint(check_file_name, "a file's name", bad=("a/b", "..", 3))]
Kind = Annotated[str, of.choice(MODELS)]


@dataclass(frozen=True, kw_only=True)
class Settings(of.Checked):
    """What a configuration and each of its runs have in common, see `Config`."""

    batch_size: of.Count = 16
    patience: of.Count = 100
    dataset_size: Annotated[int, of.count(10)] = 5120
    num_epochs: of.Count = 50000
    l1_path: Annotated[list, _numbers(least=0, may_be_empty=True)] = field(default_factory=list)
    scaled: of.Flag = False
    restarts: of.Count = 1
    loss_func: Annotated[str, of.choice(("MSE",))] = "MSE"
    init: of.Positive = 1.0
    clipping: Annotated[float, of.Constraint(_check_clipping, "a number of at least 0")] = 0.0
    data: of.Text = NORMAL


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """A configuration of the study; each field is a key of the JSON file, validated when it is
    made.

    Parameters
    ----------
    batch_size : int, default=16
    patience : int, default=100
        Epochs without a better training loss + penalty after which a learning stops.
    dataset_size : int, default=5120
        Samples, of which a fifth is held out.
    num_epochs : int, default=50000
        Most epochs of a learning.
    lr : list of float, default=[0.005]
    l1_norm, l2_norm : list of float, default=[1e-5] and [0]
        Strengths of the penalties sum |w| and 3 sum w^2 / 2, whose gradient is 3 l2_norm w as in
        the study of 2025.
    l1_path : list of float, default=[]
        Strengths of L1 that follow l1_norm in the same learning, where zeros are kept.
    scaled : bool, default=False
        Whether loss / var(y) + penalty is minimised, and not loss + penalty: strengths and rate
        then mean the same for all teachers.  The baseline's y has a variance of 4.0 with relu, .37
        with tanh, .0026 with sigmoid.
    restarts : int, default=1
        Starts under l1_norm, of which the one with the least loss + penalty continues.
    loss_func : 'MSE'
    init : float, default=1
        Factor of the student's initial weights.
    clipping : float or False, default=False
        Weights under this size become 0, after every batch.
    same_act : bool, default=True
        Whether a sweep is over equal activations of teacher and student only.
    data : str, default='normal'
        The inputs: 'normal' is N(0, 1).  Images (see `shl.networks.studies.data.load_labelled`)
        give patches of 4 x 3 pixels, of mean 0 and variance 1.  12 columns are taken as they are.
    save_path : str or None, default=None
        Folder of pictures and tables; None for the command's.
    name : str, default='noName'
        A readable name for the results' folder and files, without folders in it.
    """

    lr: Annotated[list, _numbers(above=0)] = field(default_factory=lambda: [0.005])
    l1_norm: Annotated[list, _numbers(least=0)] = field(default_factory=lambda: [1e-5])
    l2_norm: Annotated[list, _numbers(least=0)] = field(default_factory=lambda: [0.0])
    same_act: of.Flag = True
    save_path: of.Text | None = None
    name: FileName = "noName"


def config_names():
    """The names of the configurations that the package ships."""
    return sorted(path.name for path in CONFIG_FOLDER.glob("*.json"))


def load_config(path):
    """Return the `Config` of a JSON file: the path of a file, or a name in `config_names()`.

    A file of your own comes before one of the package.  Its key "base" names another file, beside
    it or likewise, whose values hold where it has none.

    Raises
    ------
    FileNotFoundError
        With the shipped names, if there is no such file.
    ValueError, TypeError
        With file and key, for text that is not a JSON object, an unknown key, or a bad value.
    """
    place, values = _read_values(path, "config_path", ())
    return make_config(values, str(place))


def _read_values(path, name, above):
    """(place, values) of a file and its bases; above are the files that it is the base of."""
    places = (*(place.parent / path for place in above[-1:]), Path(path), CONFIG_FOLDER / path)
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise FileNotFoundError(
            f"{name} {str(path)!r} is neither a file nor one of {', '.join(config_names())}"
        )
    if place in above:
        raise ValueError(f"{place} is its own base")
    try:
        values = json.loads(place.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is not JSON: {error}") from error
    if isinstance(values, dict) and "base" in values:
        base = values.pop("base")
        if not isinstance(base, str):
            raise TypeError(f"{place}: base must be a text, not {base!r}")
        values = _read_values(base, f"{place}: base", (*above, place))[1] | values
    return place, values


def make_config(values, source="config"):
    """The `Config` of a dict; errors name the source (a file) and the key."""
    if not isinstance(values, dict):
        raise TypeError(f"{source} must hold a JSON object of keys and values, not {values!r}")
    known = [item.name for item in fields(Config)]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"{source}: unknown key {unknown[0]!r}; keys are base, {', '.join(known)}")
    try:
        return Config(**values)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{source}: {error}") from error


def split_model(name, parameter):
    """The (type, activation) of a model's name such as 'fcn_128_128_relu'."""
    kind, _, activation = name.rpartition("_")
    if kind not in MODELS or activation not in MODEL_ACTIVATIONS:
        raise ValueError(
            f"{parameter} must be a model ({', '.join(MODELS)}) and an activation "
            f"({', '.join(MODEL_ACTIVATIONS)}) joined by _, not {name!r}"
        )
    return kind, activation


@dataclass(frozen=True, kw_only=True)
class StudentRun(Settings):
    """One learning of the study: all that decides its result."""

    teacher_type: Kind
    teacher_activation: str
    student_type: Kind
    student_activation: str
    lr: float
    l1_norm: float
    l2_norm: float
    seed: of.CountOrZero
    data_hash: str | None = None  # of a file's content

    def key(self):
        """The hash of all that decides the result."""
        return key_of({**IDENTITY, **asdict(self)}, "networks")

    def models(self):
        """The names of teacher and student."""
        return (
            f"{self.teacher_type}_{self.teacher_activation}",
            f"{self.student_type}_{self.student_activation}",
        )

    def label(self):
        """A readable name."""
        inputs = "" if self.data == NORMAL else f"{name_of(self.data)}, "
        return (
            f"{' -> '.join(self.models())}, {inputs}"
            f"lr {self.lr:g}, l1 {self.l1_norm:g}, l2 {self.l2_norm:g}, seed {self.seed}"
        )

    def slug(self):
        """A name for files, another one for every run."""
        return f"{'-'.join(self.models())}-seed{self.seed}-{self.key()[:8]}"


def single_run(config, teacher_model, student_model, seed):
    """The `StudentRun` of two models' names, for a configuration with one value of lr, l1_norm and
    l2_norm.
    """
    for name in ("lr", "l1_norm", "l2_norm"):
        if len(getattr(config, name)) > 1:
            raise ValueError(
                f"{name} must hold one number in mode 'single', not {getattr(config, name)}"
            )
    teacher = split_model(teacher_model, "teacher_model")
    student = split_model(student_model, "student_model")
    return _runs(config, teacher[0], student[0], [(teacher[1], student[1])], [seed])[0]


def sweep_runs(config, teacher_type, student_type, seeds):
    """The `StudentRun`s over activations x lr x l1_norm x l2_norm x seeds, in this order."""
    pairs = itertools.product(SWEPT_ACTIVATIONS, repeat=2)
    pairs = [pair for pair in pairs if pair[0] == pair[1] or not config.same_act]
    return _runs(config, teacher_type, student_type, pairs, seeds)


def _runs(config, teacher_type, student_type, pairs, seeds):
    """All combinations."""
    shared = {item.name: getattr(config, item.name) for item in fields(Settings)}
    shared |= {"teacher_type": teacher_type, "student_type": student_type}
    shared["data_hash"] = None if config.data == NORMAL else identity_of(config.data)
    names = ("teacher_activation", "student_activation", "lr", "l1_norm", "l2_norm", "seed")
    axes = itertools.product(pairs, config.lr, config.l1_norm, config.l2_norm, seeds)
    combinations = ((*pair, *others) for pair, *others in axes)
    return [StudentRun(**shared, **dict(zip(names, each, strict=True))) for each in combinations]
