"""The verbs: the only code that sequences reading, asking and writing. Each returns what it did; cli prints it."""
