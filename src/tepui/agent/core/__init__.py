"""Decides all that an agent does: launches, executors, updates, kills, checks, views."""
