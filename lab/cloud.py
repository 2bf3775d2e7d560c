"""The local cloud whose instances are virtual machines that boot."""

from localcloud import LocalCloud


class BootingCloud(LocalCloud):
    """A local cloud with such instances."""

    server = "lab.cloud_server"
