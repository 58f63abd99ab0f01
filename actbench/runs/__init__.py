"""Where a claim's numbers come from when no experiment makes them: tables, functions, programs."""
