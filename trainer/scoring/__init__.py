"""Scores: from class probabilities to nuclei, SEG, and pictures that show both."""
