"""The master: offers what agents have, and remembers what became of it."""
