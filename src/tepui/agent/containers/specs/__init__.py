"""What the API asks of a container, as a `ContainerSpec`: pure functions, one module for each part."""
