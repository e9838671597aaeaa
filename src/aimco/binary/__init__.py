"""Binary networks split over arrays, read by sense amplifiers."""
