"""One self-contained HTML page, and its lead on the terminal."""
