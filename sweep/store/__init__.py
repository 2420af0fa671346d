"""The one part that knows the sweep folder: its paths, its files, the journal, the lock.

``shelf.py`` has the folder in which all sweeps are. ``folder.py`` has the paths of one, and what lies under them;
it holds a `Journal`, a `Cache`, a `Lock` and the `Runners`. ``records.py`` turns bytes into typed records and
back, and ``files.py`` writes whole files by rename and lines by append.
"""

from sweep.store.folder import PlannedTrials, Store, whoami
from sweep.store.shelf import Shelf

__all__ = ["PlannedTrials", "Shelf", "Store", "whoami"]
