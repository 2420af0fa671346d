"""The one part that knows the sweep folder: its paths, its files, the journal, the lock.

``folder.py`` has the paths and what lies under them. It holds a `Journal`, a `Cache` and a `Lock`. ``records.py``
turns bytes into typed records and back, and ``files.py`` writes whole files by rename and lines by append.
"""

from sweep.store.folder import PlannedTrials, Store, create, find, whoami

__all__ = ["PlannedTrials", "Store", "create", "find", "whoami"]
