"""An experiment is a file: its runs, seeds and claims; `python -m benchmarks experiment NAME`."""
