"""What runs elsewhere: on a compute node, copied flat into the sweep's folder, standard library alone.

``node.py`` starts ``runner.py``, which claims a trial, runs its command and records how it ended.
``worker.py`` does so for one trial after another. ``command.py`` starts and watches a command.
``guard.py`` and ``preload.py`` are two other ways for a worker to start one.
"""
