"""Write frameworks, executors and tools for a Mesos v1 cluster in Python."""
