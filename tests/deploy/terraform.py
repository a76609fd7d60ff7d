"""OpenTofu or Terraform on a copy of a module, where one of them and its providers happen to be installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deploy.hcl import FOLDER, resources
from tests.deploy.oci_provider import install

_MIRRORS = ("/opt/tf-plugins", "/usr/share/terraform/providers", "/usr/local/share/terraform/plugins")
"""Folders with providers; nothing is fetched from anywhere else."""
_AWS = "registry.terraform.io/hashicorp/aws"

AWS_PROVIDER = """provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "a"
  secret_key                  = "b"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  endpoints {
%s  }
}
"""
"""A local AWS at the endpoints that are filled in."""


@dataclass
class Terraform:
    """A working folder."""

    program: str
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [self.program, f"-chdir={self.folder}", *words, *(["-no-color"] if words[0] != "fmt" else [])]
        ran = subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or ran.returncode == 0, ran.stdout + ran.stderr
        return ran

    def console(self, expression: str, **variables: str) -> str:
        """What an expression is, before anything was applied."""
        given = [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
        ran = subprocess.run(
            [self.program, f"-chdir={self.folder}", "console", *given],
            input=expression + "\n",
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def terraform_with_oci(module: str, tmp_path: Path) -> Terraform:
    """With the stand-in for Oracle's provider, and AWS's where the module needs it. Skips without a binary."""
    program = next(filter(None, map(shutil.which, ("tofu", "terraform"))), None)
    if not program:
        pytest.skip("OpenTofu or Terraform is not here")
    mirrors = [tmp_path / "mirror"]
    install(mirrors[0])
    if any(kind.removeprefix("data.").startswith("aws_") for kind, _, _ in resources(module)):
        theirs = next((Path(path) for path in _MIRRORS if Path(path, _AWS).is_dir()), None)
        if not theirs:
            pytest.skip("AWS's provider is not here")
        mirrors.append(theirs)
    return _prepared(program, mirrors, module, tmp_path)


def without_providers(tmp_path: Path) -> Terraform:
    """An empty working folder. Skips without a binary."""
    program = next(filter(None, map(shutil.which, ("tofu", "terraform"))), None)
    if not program:
        pytest.skip("OpenTofu or Terraform is not here")
    folder = tmp_path / "module"
    folder.mkdir()
    settings = tmp_path / "terraform.rc"
    settings.touch()
    return Terraform(program, folder, {"TF_CLI_CONFIG_FILE": str(settings), "CHECKPOINT_DISABLE": "1"})


def variables_alone(module: str, tmp_path: Path) -> Terraform:
    """Its variables, with its example's values, and the locals that follow from them: no provider has to start."""
    tool = without_providers(tmp_path)
    shutil.copy(FOLDER / module / "variables.tf", tool.folder)
    shutil.copy(FOLDER / module / "terraform.tfvars.example", tool.folder / "terraform.tfvars")
    lines = [
        line
        for path in sorted((FOLDER / module).glob("*.tf"))
        for block in re.findall(r"^locals \{\n(.*?)^\}", path.read_text(), re.MULTILINE | re.DOTALL)
        for line in re.findall(r"^  \w+ +=.*", block, re.MULTILINE)
        if not re.search(r"\baws_|\boci_|\bdata\.|local\.(arn|region|account)\b|[{(\[]$", line)
    ]
    (tool.folder / "locals.tf").write_text("\n".join(["locals {", *lines, "}", ""]))
    return tool


def terraform(module: str, tmp_path: Path) -> Terraform:
    """Skips without a binary or a provider: neither can be had from a package registry."""
    program = next(filter(None, map(shutil.which, ("tofu", "terraform"))), None)
    mirror = next((path for path in _MIRRORS if Path(path, _AWS).is_dir()), None)
    if not program or not mirror:
        pytest.skip("OpenTofu or Terraform with AWS's provider is not here: modules are read, and not validated")
    return _prepared(program, [Path(mirror)], module, tmp_path)


def _prepared(program: str, mirrors: list[Path], module: str, tmp_path: Path) -> Terraform:
    settings = tmp_path / "terraform.rc"
    blocks = "".join(f'  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n' for mirror in mirrors)
    settings.write_text(f"provider_installation {{\n{blocks}}}\n")
    for name in ("systemd", "machine"):
        shutil.copytree(FOLDER.parent / name, tmp_path / "deploy" / name)
    folder = tmp_path / "deploy" / "tofu" / module
    shutil.copytree(FOLDER / module, folder)
    return Terraform(
        program, folder, {"TF_CLI_CONFIG_FILE": str(settings), "CHECKPOINT_DISABLE": "1", "HOME": str(tmp_path)}
    )
