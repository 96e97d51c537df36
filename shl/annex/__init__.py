"""The study of the Annex, run again: its figures, and every claim answered by a measured number."""
