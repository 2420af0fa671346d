"""sweep: an HPC batch sweep orchestrator.

A sweep is a folder. Every command reads the folder, does one step, and can be repeated.
"""

__version__ = "0.1.0"
