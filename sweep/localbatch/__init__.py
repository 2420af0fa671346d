"""A small batch system for one machine, with three commands of its own: submit, status, cancel.

``python -m sweep.localbatch submit SCRIPT`` prints a job id, as ``sbatch`` does. The job runs when its CPUs,
memory and GPUs are free, outlives the terminal, and ends at its walltime. ``sweep`` talks to it as to any other
scheduler. It uses the standard library alone and imports nothing else of ``sweep``.

::

    submit ──▶ spool/jobs/7.json ──▶ manager (one process a spool, ends with the queue) ──▶ bash 7.sh
    cancel ──▶ spool/jobs/7.*.cancel ──▶  │
    status ◀── spool/jobs/7.events  ◀─────┘   appended: start, end

The manager is one process for each spool, and holds the spool's lock. It ends when the queue is empty. If it is
killed, its tasks run on. The next command starts another manager, which takes them over. The spool is
``$SWEEP_LOCAL_SPOOL``, else a folder for each host under ``$XDG_STATE_HOME`` or ``~/.local/state``. Jobs that have
ended are deleted from it after a week.
"""
