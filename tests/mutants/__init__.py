"""Would a test notice? Deciding code is changed in one place at a time, and the nearest tests have to fail."""
