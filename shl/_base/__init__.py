"""What all other packages rest on: checks, arrays, threads and texts."""
