"""keepstep keeps data and credentials in step between Oracle Cloud (OCI) and AWS."""

__version__ = "0.1.0"
