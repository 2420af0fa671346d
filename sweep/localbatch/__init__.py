"""A small batch system for one machine, with three commands of its own: submit, status, cancel.

``python -m sweep.localbatch submit SCRIPT`` prints a job id, as ``sbatch`` does; the job runs when its CPUs,
memory and GPUs are free, outlives the terminal, and ends at its wall time. ``sweep`` talks to it as it talks
to any other scheduler. Standard library alone; it imports nothing of the rest.

::

    submit ──▶ spool/jobs/7.json ──▶ manager (one process a spool, ends with the queue) ──▶ bash 7.sh
    cancel ──▶ spool/jobs/7.*.cancel ──▶  │
    status ◀── spool/jobs/7.events  ◀─────┘   appended: start, end

The manager holds the spool's lock while it lives. If it is killed, its tasks run on; the next command starts
another one, which takes them up. The spool is ``$SWEEP_LOCAL_SPOOL``, else one a host under
``$XDG_STATE_HOME`` or ``~/.local/state``. Ended jobs are forgotten after a week.
"""
