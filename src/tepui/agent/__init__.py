"""The agent: one machine of the cluster, its tasks and its resources."""
