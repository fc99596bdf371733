"""Containers with namespaces and a root of their own, started by an OCI runtime under the launcher."""
