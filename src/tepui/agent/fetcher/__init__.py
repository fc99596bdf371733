"""URIs into sandboxes."""
