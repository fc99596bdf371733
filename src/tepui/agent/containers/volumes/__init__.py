"""What containers find mounted: paths of the host, of sandboxes, images, secrets."""
