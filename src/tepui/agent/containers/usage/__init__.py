"""What containers use: read from their cgroups by the agent itself."""
