"""Real NFSv4.1 in a virtual machine, for tests and for measurements that do not depend on the host's load."""
