"""Studies of what regularisation does to the weights of a network."""
