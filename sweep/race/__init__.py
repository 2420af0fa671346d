"""Evidence as of a cut → what to run next (pure). No clock, no disk: the same evidence gives the same decision."""
