"""The visitors of the console, and what each may see."""
