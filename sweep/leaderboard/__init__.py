"""Trials and their results → a ranking, how sure it is, what mattered and what it cost (pure)."""
