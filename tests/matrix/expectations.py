"""What each server of the matrix cannot do, with the reason: the one place where that is written.

A capability that is not named here has to work. One that is named has to fail, and to be told, so that a newer server
that has learned it is noticed.
"""

SERVERS = ("localcloud", "moto", "seaweedfs", "localbucket", "ministack", "rclone")
"""Those that every run of the tests has."""

LACKS: dict[str, dict[str, str]] = {}
