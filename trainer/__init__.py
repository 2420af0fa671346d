"""trainer: small U-Nets on microscopy images of cell nuclei, scored by SEG of the Cell Tracking Challenge.

It knows nothing of sweep. The contract between them is the command line and the JSON it leaves.
"""
