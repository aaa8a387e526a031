"""What every part of the project stands on: errors, files, locks, progress. No torch."""
