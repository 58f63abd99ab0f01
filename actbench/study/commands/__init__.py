"""The study's commands, which it registers."""
