"""Many runs at once: who goes where, who is watched, and when it ends."""
