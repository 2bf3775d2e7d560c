"""What the tests, the bench and the demonstration share: trees, the command, faults, small file systems."""
