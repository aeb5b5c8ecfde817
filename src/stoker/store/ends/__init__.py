"""The ends of attempts: recorded once, successors made ready, lost ones taken back."""
