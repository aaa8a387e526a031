"""Geographic benchmarks: their released schemas, which of them are here, and all in one command."""
