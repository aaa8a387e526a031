"""What a model keeps of places: in its hidden states, and of texts that it was trained on."""
