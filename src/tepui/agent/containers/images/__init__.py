"""Images of containers: named, pulled, checked, unpacked, kept, collected and pushed."""
