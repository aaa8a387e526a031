"""What can be told about runs and their folders from outside; needs no torch."""
