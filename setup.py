"""Metadata of the package `shl`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "([^"]+)"', (here / "shl" / "__init__.py").read_text()).group(1)

extras = {
    "bench": ["spams-bin>=2.6", "dictlearn>=0.1", "sporco>=0.2.2", "torch>=2.4"],
    "dask": ["dask[array]>=2024.8", "distributed>=2024.8"],
    "networks": ["torch>=2.13", "skorch>=1.4"],
}
extras["test"] = ["pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100", "pandas>=2.2", "ruff>=0.6",
                  *extras["dask"], *extras["networks"]]

setup(
    name="shl",
    version=version,
    description="Sparse Hebbian learning: fast sparse dictionaries in which every atom stays in use",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    packages=find_packages(include=["shl", "shl.*"]),
    package_data={"shl.networks": ["config_files/*.json"]},
    python_requires=">=3.11",
    install_requires=[
        "numpy>=1.26", "scipy>=1.12", "scikit-learn>=1.6", "numba>=0.60", "matplotlib>=3.8", "joblib>=1.4",
        "tqdm>=4.66", "pillow>=10.3", "threadpoolctl>=3.5",
    ],
    extras_require=extras,
    entry_points={"console_scripts": ["shl = shl.cli:main"]},
)
