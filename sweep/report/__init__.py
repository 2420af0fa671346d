"""How things are shown: the terminal, the page, the exports. Nothing here decides anything."""
