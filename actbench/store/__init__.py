"""One way to load and save: files, datasets, environments, unfinished runs, installed studies."""
