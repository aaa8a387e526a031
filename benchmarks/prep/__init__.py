"""Data preparation beside other tools; `command.py` lists the metrics."""
