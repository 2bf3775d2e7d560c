"""What the agent touches: AWS, the instance's metadata, mounts, the engine's process, its own notes."""
