"""For tools that want one: the metadata are in `pyproject.toml`."""

from setuptools import setup

setup()
