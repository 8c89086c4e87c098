"""What the command line and the panels do, without either: compositions of core, learn and store."""
