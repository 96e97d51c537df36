"""Figures are shown as those of other packages, in a kernel and by a script's `plt.show()`."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from running import run

START = Path(__file__).resolve().parents[2] / "docs" / "start.md"
LEARN = """
from sklearn.datasets import load_digits
from shl import SHL, SparseHebbianLearning, show_dico, time_plot
model = SparseHebbianLearning(16, n_iter=9, record_each=4, record_num_batches=99, random_state=0)
model.fit(load_digits().data)
"""
LOOP = """
for seed in range(100):
    shl = SHL(patch_width=8, N_patches=300, height=64, width=64, n_dictionary=10, l0_sparseness=2,
              n_iter=3, batch_size=50, record_num_batches=50, cache_dir=None, seed=seed)
    shl.learn_dico(list_figures=["show_dico", "time_plot_F"])
"""
COUNT = """
import gc
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
del shl
_ = gc.collect()
print(plt.get_fignums(), sum(isinstance(found, Figure) for found in gc.get_objects()))
"""
BACKEND = '''
"""A backend of matplotlib that says what it shows."""
from matplotlib.backend_bases import FigureManagerBase, Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg


class FigureManager(FigureManagerBase):
    @classmethod
    def pyplot_show(cls, *, block=None):
        print("shown", [len(manager.canvas.figure.axes) for manager in Gcf.get_all_fig_managers()])


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager
'''


@pytest.fixture(autouse=True)
def no_backend(monkeypatch):
    """Kernels and scripts choose their backend; `shl.cli.main` leaves one in the environment."""
    monkeypatch.delenv("MPLBACKEND", raising=False)


def run_cells(cells, folder):
    """[(pictures, printed text) of each cell], run in a kernel of its own."""
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    return [
        (
            sum("image/png" in output.get("data", {}) for output in found),
            "".join(output.text for output in found if output.output_type == "stream"),
        )
        for found in outputs
    ]


def test_figures_appear_in_a_fresh_notebook(tmp_path):
    cells = [LEARN, "show_dico(model)", "time_plot(model, fname='F.png');", "1 + 1"]
    assert run_cells(cells, tmp_path) == [(0, ""), (1, ""), (1, ""), (0, "")]


@pytest.mark.slow
def test_snippets_of_the_start_page_show_pictures(tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", START.read_text(), re.DOTALL)
    assert run_cells(snippets, tmp_path) == [(1, ""), (2, "")]


@pytest.mark.slow
def test_a_loop_in_a_notebook_leaves_no_figure_open(tmp_path):
    _, loop, count = run_cells([LEARN, LOOP, COUNT], tmp_path)
    assert loop == (200, "")
    assert count[1].startswith("[] ") and int(count[1].split()[1]) <= 5


DRAW = """
show_dico(np.eye(9))
plot_usage(np.ones(9))
"""
SCRIPT = f"""
import numpy as np
from shl import SHL
from shl.plotting import show_dico, plot_usage
{DRAW}
import matplotlib.pyplot as plt
plt.show()
plt.close("all")
{DRAW}
plt.show()
plt.close("all")
plt.switch_backend("agg")
{LOOP.replace("100", "3")}
print(plt.get_fignums())
"""


def test_a_script_shows_figures_by_pyplot(tmp_path):
    """Those drawn before it is imported, and after; without a window, learnings leave none open."""
    (tmp_path / "saying.py").write_text(BACKEND)
    environment = {"MPLBACKEND": "module://saying", "PYTHONPATH": str(tmp_path)}
    assert run(SCRIPT, env=environment) == (0, "shown [1, 1]\n" * 2 + "[]\n", "")
