"""Convolutional sparse Hebbian learning: the same learning where an atom may sit anywhere in the image."""
