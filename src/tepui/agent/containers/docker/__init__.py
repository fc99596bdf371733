"""Containers of Docker Engine. Mesos: slave/containerizer/docker.cpp and docker/docker.cpp."""
