"""Trials and limits → jobs, and a job → its script (pure)."""
