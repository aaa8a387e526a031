"""The CPU image without a container engine: its Dockerfile replayed in a clean Debian root."""
