"""Reports: tables, figures and self-contained pages, drawn from results only."""
