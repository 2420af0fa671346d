"""Events and evidence → what is so (pure)."""
