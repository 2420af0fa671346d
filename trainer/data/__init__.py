"""Data: from a folder of images and masks to batches of patches."""
