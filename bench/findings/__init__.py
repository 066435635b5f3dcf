"""From a results folder to what it shows: gathered records become tables, plots, comparisons and pages."""
