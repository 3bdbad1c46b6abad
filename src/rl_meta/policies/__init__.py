"""Networks, and how they read spaces."""
