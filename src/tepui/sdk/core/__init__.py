"""What the library decides, without sockets, clocks or randomness of its own."""
