"""What a fitted model shows of itself in a notebook."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from sklearn import config_context

from shl import SparseHebbianLearning
from shl.convolution import ConvolutionalSHL

X = np.random.default_rng(0).standard_normal((200, 16))
MODELS = {
    "patches": (SparseHebbianLearning(20, n_iter=4, record_each=2, random_state=0), X),
    "colour": (SparseHebbianLearning(20, n_iter=4, patch_shape=(2, 2, 3)), X[:, :12]),
    "curves": (SparseHebbianLearning(20, n_iter=4), X[:, :11]),
    "images": (ConvolutionalSHL(4, 5, l0_sparseness=4, n_iter=2), X.reshape(8, 20, 20)),
}


@pytest.mark.parametrize("name", MODELS)
def test_html_shows_what_a_model_learned(name):
    model, data = MODELS[name]
    assert "<details><summary>What" not in model._repr_html_()
    model.fit(data)
    html = model._repr_mimebundle_()["text/html"]
    assert "sk-top-container" in html
    block = html[html.index("<details><summary>What") :]
    assert model._repr_html_().endswith(block)
    assert "atoms used in the last pass" in block and f"<td>{model.n_iter_}</td>" in block
    found = re.search(r"data:image/png;base64,([^\"]+)", block)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("L"))
    assert len(np.unique(picture)) > 20
    with config_context(display="text"):
        assert "text/html" not in model._repr_mimebundle_()
