"""Whole clusters in one process: the production cores under virtual time, with faults."""
