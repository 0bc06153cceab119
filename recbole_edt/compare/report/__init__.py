"""Tables, tests, figures and the page of a comparison."""
