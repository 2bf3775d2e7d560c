"""The process of a local cloud whose instances are virtual machines: ``localcloud.server`` in all else."""

import sys

from localcloud import server

from lab.instance import VirtualInstance

if __name__ == "__main__":
    server.main(sys.argv[1:], VirtualInstance)
