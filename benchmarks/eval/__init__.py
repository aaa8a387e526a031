"""Evaluation beside its peers: documents and questions a CPU second, on the same models."""
