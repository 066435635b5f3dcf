"""What a report says, section by section: each file makes the plain data of one, which a template of
bench/evidence/page shows."""
