"""Other libraries' learners on our families, and our agents in their tools."""
