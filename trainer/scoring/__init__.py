"""Scores: from class probabilities to nuclei, SEG, and pictures of both."""
