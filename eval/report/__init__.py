"""One self-contained HTML page, and its headline on the terminal."""
