"""One look for what people read: data card, store page, report, analyses, pages of tokens."""
