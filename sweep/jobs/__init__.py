"""Trials → jobs that fit the limits; a job → its script (pure)."""
