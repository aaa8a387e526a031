"""From raw records to an annotated corpus and a token store. CPU only, no torch."""
