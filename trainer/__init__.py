"""trainer: small U-Nets on microscopy images of cell nuclei, scored by SEG of the Cell Tracking Challenge.

It knows nothing of sweep. Between them are the command line and the JSON of the result.
"""
