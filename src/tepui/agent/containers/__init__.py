"""Containers put to work: what one is asked to be, and the runtimes that start, watch and end it."""
