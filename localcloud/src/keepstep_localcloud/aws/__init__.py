"""A local AWS: see :class:`LocalAws`. moto is imported when it starts."""

from keepstep_localcloud.aws.local import LocalAws

__all__ = ["LocalAws"]
