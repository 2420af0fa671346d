"""The networks: their layers, the kernels under them, one training step, prediction."""
