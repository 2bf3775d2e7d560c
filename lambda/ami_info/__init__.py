"""AMIInfoFunction: the architecture of an instance type, and the newest Amazon Linux image for it."""
