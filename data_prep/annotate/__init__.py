"""What is found out about a document: origin, language, date and quality."""
