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
    "coding.kernels": {
        "test_coding.test_code_equals_the_oracle": "pursue pursue_orthogonal pursue_seen quantile "
        "scatter",
        "test_coding.test_bits_do_not_depend_on_threads_or_layout": "sort_events",
        "test_coding.test_scales_are_exact": "sum_squares",
        "test_coding.test_a_gram_matrix_in_tiles_is_the_product": "transpose",
        "test_learning.test_adam_equals_the_oracle": "adam",
        "test_learning.test_gradient_equals_the_oracle": "accumulate subtract_reconstruction",
        "test_learning.test_sums_over_events_are_the_product": "order_by_atom",
        "test_learning.test_atoms_are_scaled_to_norm_1_but_for_zeros": "normalise",
        "test_learning.test_pairs_and_quantile_bounds": "bound_scores reach count_pairs",
        "test_homeostasis.test_histogram_equalisation_is_its_equations": "follow_quantiles",
        "test_replacement.test_unexplained_shares_equal_the_oracle": "explain",
    },
    "convolution.kernels": {
        "test_convolution.test_any_shape_equals_the_oracle": "unfold rank pursue subtract_events "
        "measure_gaps",
        "test_convolution.test_maps_are_correlations_in_any_strips": "correlate_sparse",
        "test_convolution_learning.test_the_move_is_the_masked_hebbian_sum": "accumulate",
    },
    "networks.teacher_student.kernels": {
        "test_networks_teacher.test_responses_are_those_of_pytorch": "respond",
        "test_networks_teacher.test_epochs_are_those_of_pytorch": "learn_epoch",
    },
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


def test_jit_is_serial_without_the_gil_and_cached():
    tree = parse(PACKAGE / "_base" / "jit.py")
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert JIT in calls and "_Cache(function)" in calls
    assert sum("njit" in call for call in calls) == 2  # with what it is called on


@pytest.mark.parametrize("module", MODULES)
def test_kernels_import_no_other_module(module):
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
    """It is compiled, and calls functions of its own module alone."""
    kernel = KERNELS[name]
    assert [ast.unparse(node) for node in kernel.decorator_list] in (["jit"], ["intrinsic"])
    assert not names(kernel) & FOREIGN
    own = {node.name for node in TREES[name.rpartition(".")[0]].body if hasattr(node, "name")}
    inside = set(functions(kernel))  # those that write its instructions
    own |= {function.name for function in inside}
    called = {node.func for node in ast.walk(kernel) if isinstance(node, ast.Call)}
    plain = {node.id for node in called if isinstance(node, ast.Name)}
    assert plain <= own | set(dir(builtins))


def test_other_modules_use_all_public_kernels_and_no_private_one():
    others = [path for path in PACKAGE.rglob("*.py") if path not in MODULES.values()]
    used = set().union(*map(uses, others))
    assert used & KERNELS.keys() == PUBLIC


def test_every_public_kernel_has_a_test():
    found = [
        f"{m}.{name}" for m, t in TESTED.items() for names in t.values() for name in names.split()
    ]
    assert sorted(found) == sorted(PUBLIC)


@pytest.mark.parametrize("name", [name for tests in TESTED.values() for name in tests])
def test_the_test_of_a_kernel_is_there(name):
    module, test = name.split(".")
    (path,) = TESTS.rglob(f"{module}.py")
    assert test in {function.name for function in functions(parse(path))}
