"""Color science: pure functions on numpy arrays, without I/O and without torch."""
