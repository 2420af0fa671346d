"""Programs, which are no modules to be imported for their examples."""

collect_ignore = ["client.py", "program.py"]
