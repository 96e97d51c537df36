"""Codes that a user built or edited are checked wherever they are used."""

import numpy as np
import pytest
from scipy import sparse

from shl import SparseCoder, metrics, plotting
from shl.coding.events import Events
from shl.convolution import ConvolutionalCode, ConvolutionalSHL


@pytest.fixture(scope="module")
def model():
    images = np.random.default_rng(0).standard_normal((4, 1, 16, 18))
    return ConvolutionalSHL(5, 5, 6, n_iter=2, record_each=0, random_state=0).fit(images), images


PARTS = ("image", "atom", "row", "column", "value")


def parts_of(code):
    return {name: getattr(code, name).copy() for name in PARTS} | {"shape": code.shape}


BAD = {
    "a row far away": lambda p: p["row"].__setitem__(3, 100_000),
    "a negative row": lambda p: p["row"].__setitem__(3, -1),
    "a column outside": lambda p: p["column"].__setitem__(0, 14),
    "an atom too many": lambda p: p["atom"].__setitem__(1, 5),
    "an image too many": lambda p: p["image"].__setitem__(-1, 4),
    "a permutation": lambda p: p.update({name: p[name][::-1].copy() for name in PARTS}),
    "a short value": lambda p: p.update(value=p["value"][:-1]),
    "a long row": lambda p: p.update(row=np.append(p["row"], np.int32(0))),
    "floats": lambda p: p.update(row=p["row"].astype(float)),
    "2-D": lambda p: p.update(atom=p["atom"][None]),
    "NaN": lambda p: p["value"].__setitem__(0, np.nan),
    "integers": lambda p: p.update(value=np.ones(len(p["value"]), int)),
    "a short shape": lambda p: p.update(shape=p["shape"][:3]),
    "a smaller shape": lambda p: p.update(shape=(4, 5, 3, 3)),
    "a shape of floats": lambda p: p.update(shape=(4.0, 5.0, 12.0, 14.0)),
    "a negative shape": lambda p: p.update(shape=(-4, 5, 12, 14)),
}
USES = {
    "inverse_transform": lambda model, code: model.inverse_transform(code),
    "toarray": lambda model, code: code.toarray(),
    "counts": lambda model, code: code.counts(),
    "power_sums": lambda model, code: code.power_sums(2),
    "count_places": lambda model, code: code.count_places(),
}


@pytest.mark.parametrize("how", BAD)
def test_a_code_that_no_image_has_cannot_be_built(model, how):
    code = model[0].transform(model[1])
    parts = parts_of(code)
    BAD[how](parts)
    with pytest.raises(ValueError, match="|".join((*PARTS, "shape"))):
        ConvolutionalCode(**parts)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "how", [name for name in BAD if "__setitem__" in BAD[name].__code__.co_names]
)
def test_an_edited_code_is_rejected_at_its_use(model, how, use):
    code = model[0].transform(model[1])
    USES[use](model[0], code)
    BAD[how](vars(code))  # its arrays are edited in place
    with pytest.raises(ValueError, match="|".join(PARTS)):
        USES[use](model[0], code)


def test_reconstruct_rejects_what_does_not_fit(model):
    fitted, images = model
    code = fitted.transform(images)
    atoms = fitted.components_
    for arguments, words in (
        ((atoms, (15, 18)), "shape must be at least 16 x 18"),
        ((atoms, (16, 18), 2), "shape must be at least"),
        ((atoms, (16, 18), 0), "stride must be at least 1"),
        ((atoms[:3], (16, 18)), "dictionary must have shape"),
        ((atoms[0], (16, 18)), "dictionary must have shape"),
        ((atoms[..., :2], (16, 14)), "shape must be"),
    ):
        with pytest.raises(ValueError, match=words):
            code.reconstruct(*arguments)


def test_atoms_that_were_edited_are_refused(model):
    fitted, images = model
    kept = fitted.components_
    for bad in (kept[..., :2], kept[:, :, :2], 3 * kept, np.full_like(kept, np.nan)):
        fitted.components_ = bad
        with pytest.raises(ValueError, match="components_"):
            fitted.transform(images)
    fitted.components_ = kept


OF_SPARSE = {
    "usage": metrics.usage,
    "variance": metrics.variance,
    "mutual information": metrics.mutual_information,
    "plot_variance": plotting.plot_variance,
    "plot_coefficients": plotting.plot_coefficients,
    "events": Events.from_dense,
    "decode": SparseCoder(np.eye(3)).inverse_transform,
}


@pytest.mark.parametrize("name", OF_SPARSE)
@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo"])
def test_a_sparse_code_edited_by_hand_is_rejected(name, kind):
    """SciPy looks at the indices once."""
    code = getattr(sparse.csr_array(np.eye(3)), f"to{kind}")()
    (code.row if kind == "coo" else code.indices)[1] = 10**6
    with pytest.raises(ValueError, match="(X|code) is a damaged sparse array"):
        OF_SPARSE[name](code)


@pytest.mark.parametrize("name", [*OF_SPARSE][:5])
def test_what_is_measured_or_drawn_has_no_nan(name):
    code = sparse.csr_array(np.diag([1.0, np.nan, 1.0]))
    with pytest.raises(ValueError, match="code must hold no NaN"):
        OF_SPARSE[name](code)
    OF_SPARSE[name](sparse.csr_array((5, 3)))  # no event is no damage
    OF_SPARSE[name](sparse.csr_array(np.eye(3, dtype=np.int8)))
