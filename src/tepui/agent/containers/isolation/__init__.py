"""What a container may ask of the kernel: system calls, capabilities, devices."""
