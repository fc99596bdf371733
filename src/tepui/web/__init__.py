"""HTTP for the daemons: a server, routes, record streams and upgraded connections."""
