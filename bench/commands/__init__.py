"""What each verb of the command line does: a module a verb with `main(args) -> exit code`, and what they share."""
