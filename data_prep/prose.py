"""Signs of prose that published rules and this project's quality score both look for."""

# Rae et al. 2021 (Gopher), arXiv 2112.11446, A.1.1.
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
# Ends of sentences in many scripts, and quotation marks and brackets that close after them.
SENTENCE_ENDS = ".!?…\"'”’»)]。！？」』।॥؟۔።"
