"""What is made from item texts and training rows before a model is trained."""
