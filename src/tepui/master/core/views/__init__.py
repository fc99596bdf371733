"""What readers see of the state: pure functions, one file for each family of endpoints."""
