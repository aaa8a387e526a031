"""Training beside other tools; `command.py` lists the metrics."""
