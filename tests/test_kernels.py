"""The house's rules for kernels, read from their source."""

import ast
import builtins
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "shl"
MODULES = {
    "coding.kernels": PACKAGE / "coding" / "kernels.py",
    "convolution.kernels": PACKAGE / "convolution" / "kernels.py",
    "networks.teacher_student.kernels": PACKAGE / "networks" / "teacher_student" / "kernels.py",
}
JIT = "njit(nogil=True, error_model='numpy')"
TOOLS = {"cgutils", "config", "intrinsic", "types"}
FOREIGN = {"prange", "np.random", "random", "objmode"}
# Tests that fail where a kernel is wrong, and the kernels they are for: a new kernel wants a place.
TESTED = {
    "test_coding.test_code_equals_the_oracle": (
        "coding.kernels.pursue",
        "coding.kernels.pursue_orthogonal",
        "coding.kernels.pursue_seen",
        "coding.kernels.quantile",
        "coding.kernels.scatter",
    ),
    "test_coding.test_bits_do_not_depend_on_threads_or_layout": ("coding.kernels.sort_events",),
    "test_learning.test_adam_equals_the_oracle": ("coding.kernels.adam",),
    "test_learning.test_gradient_equals_the_oracle": (
        "coding.kernels.accumulate",
        "coding.kernels.subtract_reconstruction",
    ),
    "test_coding.test_scales_are_exact": ("coding.kernels.sum_squares",),
    "test_coding.test_a_gram_matrix_in_tiles_is_the_product": ("coding.kernels.transpose",),
    "test_learning.test_sums_over_events_in_several_parts_are_the_product": (
        "coding.kernels.order_by_atom",
    ),
    "test_homeostasis.test_histogram_equalisation_is_its_equations": (
        "coding.kernels.follow_quantiles",
    ),
    "test_learning.test_atoms_are_scaled_to_norm_1_but_for_zeros": ("coding.kernels.normalise",),
    "test_learning.test_pairs_and_quantile_bounds": (
        "coding.kernels.bound_scores",
        "coding.kernels.reach",
        "coding.kernels.count_pairs",
    ),
    "test_replacement.test_what_others_cannot_explain_equals_the_oracle": (
        "coding.kernels.explain",
    ),
    "test_convolution.test_codes_equal_the_oracle": (
        "convolution.kernels.unfold",
        "convolution.kernels.rank",
        "convolution.kernels.pursue",
    ),
    "test_convolution.test_residuals_are_those_of_the_oracle": (
        "convolution.kernels.subtract_events",
    ),
    "test_convolution.test_sparse_images_have_the_same_maps": (
        "convolution.kernels.correlate_sparse",
    ),
    "test_recordings.test_any_shape_equals_the_oracle": ("convolution.kernels.measure_gaps",),
    "test_convolution_learning.test_the_move_is_the_masked_hebbian_sum": (
        "convolution.kernels.accumulate",
    ),
    "test_networks_teacher.test_responses_are_those_of_patches_and_of_full_layers": (
        "networks.teacher_student.kernels.respond",
    ),
    "test_networks_teacher.test_epochs_are_those_of_pytorch": (
        "networks.teacher_student.kernels.learn_epoch",
    ),
}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree):
    """The functions of a module itself; not those that write instructions for one of them."""
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def names(tree):
    """Every name and dotted name of a tree, as it is written."""
    dotted = (ast.Name, ast.Attribute)
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, dotted)}


def uses(path):
    """What a module names of its imports from the package, by full names: `kernels.pursue`."""
    tree, found = parse(path), set()
    used = names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = path.parents[node.level - 1].relative_to(PACKAGE).parts
            for alias in node.names:
                full = ".".join((*place, *filter(None, [node.module]), alias.name))
                shown = alias.asname or alias.name
                found |= {
                    full + name.removeprefix(shown) for name in used if name.split(".")[0] == shown
                }
    return found


TREES = {module: parse(path) for module, path in MODULES.items()}
KERNELS = {f"{module}.{f.name}": f for module, tree in TREES.items() for f in functions(tree)}
PUBLIC = {name for name in KERNELS if not name.rpartition(".")[2].startswith("_")}
PLACES = [path for path in PACKAGE.rglob("*.py") if path not in MODULES.values()]
USED = set().union(*map(uses, PLACES))


def test_jit_is_serial_without_the_gil_and_cached():
    tree = parse(PACKAGE / "_base" / "jit.py")
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert JIT in calls and "_Cache(function)" in calls
    assert sum("njit" in call for call in calls) == 2  # with what it is called on


@pytest.mark.parametrize("module", MODULES)
def test_kernels_call_no_other_module(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.module == "_base.jit" and [alias.name for alias in node.names] == ["jit"]
        elif isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] != "shl"
            if node.module.split(".")[0] == "numba":  # what writes LLVM's instructions
                assert {alias.name for alias in node.names} <= TOOLS
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] not in ("shl", "numba") for alias in node.names)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_keeps_the_rules(name):
    kernel = KERNELS[name]
    assert [ast.unparse(node) for node in kernel.decorator_list] in (["jit"], ["intrinsic"])
    assert not names(kernel) & FOREIGN


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_calls_only_its_own_module(name):
    own = {node.name for node in TREES[name.rpartition(".")[0]].body if hasattr(node, "name")}
    inside = set(functions(KERNELS[name]))  # those that write its instructions
    own |= {function.name for function in inside}
    called = {node.func for node in ast.walk(KERNELS[name]) if isinstance(node, ast.Call)}
    plain = {node.id for node in called if isinstance(node, ast.Name)}
    assert plain <= own | set(dir(builtins))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_kernel_is_used(name):
    assert name in USED


def test_a_private_kernel_is_not_used_elsewhere():
    assert not USED & (KERNELS.keys() - PUBLIC)


def test_every_public_kernel_has_a_test():
    assert sorted(kernel for kernels in TESTED.values() for kernel in kernels) == sorted(PUBLIC)


@pytest.mark.parametrize("name", TESTED)
def test_the_test_of_a_kernel_is_there(name):
    module, test = name.split(".")
    (path,) = TESTS.rglob(f"{module}.py")
    assert test in {function.name for function in functions(parse(path))}
