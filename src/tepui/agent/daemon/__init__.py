"""Does what the core decides: the link to the master, sandboxes, containers, the agent's HTTP."""
