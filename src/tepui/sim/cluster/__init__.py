"""Whole clusters from one seed: every process, disk and connection may fail."""
