"""Measurements on a GPU that is lent for minutes, on a machine without a network.

1. `prepare` makes a folder to carry there: wheels, and Transformer Engine's library for one chip.
2. `run` goes through the stages there, each with a time limit, and writes what came of each.
"""
