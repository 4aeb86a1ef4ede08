"""A container engine and an image made from nothing, for the tests of containers."""

import pathlib
import subprocess
import tempfile

PROGRAM = pathlib.Path(__file__).parent / "container" / "program.rs"
IMAGE = "sagebrush-conformance"


def docker(*arguments, **options):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, **options).stdout


def missing():
    """Why no engine can be used, if so."""
    try:
        docker("version", timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return getattr(error, "stderr", None) or str(error)
    return None


def build():
    """Makes the image and returns its name: the program, alone."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["rustc", "--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols",
                        str(PROGRAM), "-o", f"{folder}/program"], check=True)
        archive = subprocess.run(["tar", "-C", folder, "-c", "program"], capture_output=True, check=True).stdout
        subprocess.run(["docker", "import", "-c", 'ENTRYPOINT ["/program"]', "-", IMAGE], input=archive, check=True,
                       capture_output=True)
    return IMAGE


def labelled(server, kind="container"):
    """Names of what the engine holds for a server's data folder."""
    command = {"container": ["ps", "-a"], "network": ["network", "ls"]}[kind]
    return docker(*command, "-q", "--filter", f"label=sagebrush.server={server.data_dir.resolve()}").split()
