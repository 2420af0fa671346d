"""The networks: their layers, their kernels, one training step, prediction."""
