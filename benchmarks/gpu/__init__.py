"""Training on one GPU, by model, row and precision; `command.py` lists the metrics."""
