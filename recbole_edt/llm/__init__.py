"""Language models: one protocol, two clients, a store of every reply, prompts and parsing."""
