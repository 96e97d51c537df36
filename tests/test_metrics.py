"""Metrics take a code in any form; what they are is in test_learning.py and the reference cases."""

import numpy as np
import pytest
from scipy import sparse

from shl import metrics
from shl.coding.events import Events

OF_A_CODE = (
    metrics.usage,
    metrics.usage_entropy,
    metrics.usage_variation,
    metrics.probability_error,
    metrics.log_likelihood,
    metrics.mutual_information,
    metrics.kurtosis,
    metrics.activation_probability,
    metrics.variance,
    metrics.kl_divergence,
)


def make_twice(dense):
    """The array with each entry in two halves, which count as one."""
    rows, columns = np.nonzero(dense)
    halves = np.tile(dense[rows, columns] / 2, 2)
    order = np.argsort(np.tile(rows, 2), kind="stable")
    offsets = np.concatenate(([0], np.cumsum(2 * np.count_nonzero(dense, axis=1))))
    return sparse.csr_array((halves[order], np.tile(columns, 2)[order], offsets), dense.shape)


@pytest.mark.parametrize("metric", OF_A_CODE, ids=lambda metric: metric.__name__)
def test_an_array_has_the_metrics_of_its_events(metric, rng):
    indices = np.argsort(rng.random((40, 7)), axis=1)[:, :3].astype(np.int32)
    values = rng.standard_normal((40, 3))
    values[::5, 1] = 0
    events = Events(indices, values, 7)
    dense = events.to_dense()
    wanted = metric(events)
    for code in (dense, dense.tolist(), sparse.csr_array(dense), sparse.coo_matrix(dense)):
        np.testing.assert_allclose(metric(code), wanted, rtol=1e-12)
    twice = make_twice(dense)
    np.testing.assert_allclose(metric(twice), wanted, rtol=1e-12)
    assert twice.nnz == 2 * np.count_nonzero(dense)  # the user's array is as it was
