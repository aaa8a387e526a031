"""What is done with finished token stores: merge, sample, count, find, export."""
