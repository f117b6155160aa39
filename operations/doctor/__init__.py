"""Whether this machine and a cluster can carry a stack, before anything is deployed."""
