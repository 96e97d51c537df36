import numpy as np
import pytest

from shl.learning.history import History


@pytest.fixture
def history():
    history = History()
    for step in (0, 8):
        history.append(steps=step, error=1 / (step + 1), var=np.full(3, step))
    return history


def test_columns_are_arrays_over_records(history):
    assert list(history) == ["steps", "error", "var"]
    np.testing.assert_array_equal(history["error"], [1, 1 / 9])
    assert history["var"].shape == (2, 3)
    assert repr(history) == "History(2 records of steps, error, var)"
    assert repr(History()) == "History(0 records of )"


def test_last_and_to_frame_have_the_scalars(history):
    assert history.last() == {"steps": 8, "error": 1 / 9}
    frame = history.to_frame()
    assert list(frame.index) == [0, 8] and list(frame.columns) == ["error"]


def test_records_have_the_same_names(history):
    with pytest.raises(ValueError, match="a record must have the names"):
        history.append(steps=16, error=0.1)
    with pytest.raises(KeyError, match="'F' was not recorded. There is steps, error, var"):
        history["F"]


def test_a_history_is_made_of_columns_and_left_alone(history):
    copy = History(dict(history))
    copy.append(steps=16, error=0.0, var=np.zeros(3))
    assert len(copy["steps"]) == 3 and len(history["steps"]) == 2
