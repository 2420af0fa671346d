"""What runs on a compute node: copied flat into the sweep's folder, standard library alone, Python 3.6 or newer.

``node.py`` starts ``runner.py``, which claims a trial, runs its command and records how it ended.
``worker.py`` does the same for one trial after another. ``command.py`` starts and watches a command.
``processes.py`` knows all processes of a trial, and ends them with it.
``stop.py`` tells whether a running trial meets a rule of the grid's ``stop``.
``bystander.py`` tells which signals the command has got already.
A worker starts commands with ``keeper.py`` or, where the grid preloads modules, with ``preload.py``.
"""
