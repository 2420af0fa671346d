"""What several verbs share: the only code beside them that sequences I/O."""
