"""How things are shown: on a terminal, as a page, as files for other programs.

Nothing here decides anything, reads or writes a file, or starts a process. What is drawn is returned.
"""
