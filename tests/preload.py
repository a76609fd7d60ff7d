"""File systems that refuse or tell: a few lines of C that the loader puts before the C library's (ld.so(8))."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.servers import absent

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

/* REFUSE_<call> is the errno of a call that fails; CALLS is a file that gets a line for each call. */
static int refused(const char *call) {
    char name[64];
    snprintf(name, sizeof name, "REFUSE_%s", call);
    const char *number = getenv(name);
    if (number == NULL) return 0;
    errno = atoi(number);
    return 1;
}

static void tell(const char *call, const char *what) {
    const char *path = getenv("CALLS");
    if (path == NULL) return;
    int saved = errno;
    int out = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    dprintf(out, "%s %s\n", call, what);
    close(out);
    errno = saved;
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

int fsync(int fd) {
    tell("fsync", "");
    return refused("fsync") ? -1 : REAL(fsync)(fd);
}
int syncfs(int fd) {
    tell("syncfs", "");
    return refused("syncfs") ? -1 : REAL(syncfs)(fd);
}
int futimens(int fd, const struct timespec times[2]) {
    return refused("futimens") ? -1 : REAL(futimens)(fd, times);
}
int fchmodat(int at, const char *path, mode_t mode, int flags) {
    return refused("chmod") ? -1 : REAL(fchmodat)(at, path, mode, flags);
}
int chmod(const char *path, mode_t mode) {
    return refused("chmod") ? -1 : REAL(chmod)(path, mode);
}
int renameat(int from, const char *old, int to, const char *new) {
    tell("rename", new);
    return REAL(renameat)(from, old, to, new);
}
int unlinkat(int at, const char *path, int flags) {
    tell("unlink", path);
    return REAL(unlinkat)(at, path, flags);
}
"""


def preloaded(folder: Path, **variables: str) -> dict[str, str]:
    """The variables under which a program has it; ``folder`` is where it is made."""
    compiler = shutil.which("cc")
    if compiler is None:
        absent("a C compiler", "install gcc")
    library = folder / "preload.so"
    if not library.exists():
        (folder / "preload.c").write_text(SOURCE)
        command = [compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "preload.c"), "-ldl"]
        subprocess.run(command, check=True, timeout=60)
    return {"LD_PRELOAD": str(library), **variables}
