"""Other loaders, each in a process of its own."""
