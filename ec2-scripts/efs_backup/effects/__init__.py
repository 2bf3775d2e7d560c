"""What touches the world: processes, file systems, locks, signals, files of the engine's own."""
