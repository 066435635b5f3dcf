"""Results that are given to others and taken from them: archives with proofs, their checks, and a leaderboard."""
