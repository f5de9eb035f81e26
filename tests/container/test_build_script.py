# SPDX-License-Identifier: GPL-3.0-or-later
"""buildDockerImages.sh: the commands that each option passes to docker. Here docker is a stand-in that records its arguments, so
that other platforms can be tested. The fixture `image` runs the script with the real engine.
"""

import os
import shutil
import subprocess

import pytest

from conftest import NAME, ROOT, VERSION

STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >>"$DOCKER_TOLD"
case "$*" in $DOCKER_FAILS) exit 1 ;; esac
"""


@pytest.fixture
def build(tmp_path):
    """build(OPTION...): exit status, output, errors, and the commands that docker got, without queries."""
    home = tmp_path / "with blanks"
    clone = home / "a clone"
    os.makedirs(clone)
    shutil.copy(os.path.join(ROOT, "buildDockerImages.sh"), clone)
    shutil.copy(os.path.join(ROOT, "CMakeLists.txt"), clone)
    os.makedirs(home / "bin")
    (home / "bin" / "docker").write_text(STAND_IN)
    (home / "bin" / "docker").chmod(0o755)
    told = home / "told"

    def run(*options, fails="nothing", path=None):
        told.write_text("")
        done = subprocess.run([clone / "buildDockerImages.sh", *options], cwd="/", capture_output=True, text=True, env={
            "PATH": path or f"{home / 'bin'}:/usr/bin:/bin", "DOCKER_TOLD": str(told), "DOCKER_FAILS": fails})
        questions = ("buildx version", "version --format", "buildx inspect")
        commands = [line.replace(str(clone), "CLONE") for line in told.read_text().splitlines() if not line.startswith(questions)]
        return done.returncode, done.stdout, done.stderr, commands

    run.clone = clone
    return run


def builds(options, tag, output="--load ", no_cache=False):
    """The second build makes only the layers that it does not share with the first."""
    space = options + " " if options else ""
    anew = {"main": "--no-cache ", "dev": "--no-cache-filter dev "} if no_cache else {"main": "", "dev": ""}
    return [f"buildx build {anew[target]}{space}{output}--file CLONE/docker/main/Dockerfile --target {target} --tag {NAME}:{tag}"
            f" --build-arg VERSION={VERSION} --build-arg REVISION=unknown CLONE"
            for target, tag in (("main", tag), ("dev", "dev" if tag == "latest" else tag + "-dev"))]


MANY = f"--platform linux/arm64,linux/amd64 --builder {NAME.replace('/', '_')}_builder"


@pytest.mark.parametrize("given, expected", [
    ((), builds("", VERSION)),
    (("-nc",), builds("", VERSION, no_cache=True)),
    (("--no-cache",), builds("", VERSION, no_cache=True)),
    (("--pull",), builds("--pull", VERSION)),
    (("-t", "latest"), builds("", "latest")),
    (("--tag", "1.2.3-rc.1"), builds("", "1.2.3-rc.1")),
    (("-p", "linux/arm64"), builds("--platform linux/arm64", VERSION)),
    (("--platform", "linux/arm/v7"), builds("--platform linux/arm/v7", VERSION)),
    (("-p", "linux/arm64,linux/amd64"), builds(MANY, VERSION, "")),
    (("-p", "linux/arm64, linux/amd64"), builds(MANY, VERSION, "")),
    (("-p", " linux/arm64 ,\tlinux/amd64 "), builds(MANY, VERSION, "")),
    (("-p", "linux/arm64,", "linux/amd64", "-t", "latest"), builds(MANY, "latest", "")),
    (("-dp",), builds(MANY, VERSION, "")),
    (("--default-platforms", "-t", "all", "-nc", "--pull"), builds("--pull " + MANY, "all", "", no_cache=True)),
])
def test_option(build, given, expected):
    status, output, errors, commands = build(*given)
    assert (status, errors) == (0, "")
    assert commands == expected
    assert output.startswith(f"built {NAME}:")
    assert ("not in Docker's list of images" in output) == ("--builder" in commands[0])


def test_a_builder_is_made_when_there_is_none(build):
    status, _, _, commands = build("-dp", fails="buildx?inspect*")
    assert status == 0
    assert commands == [f"buildx create --name {NAME.replace('/', '_')}_builder", *builds(MANY, VERSION, "")]


@pytest.mark.parametrize("given", [("-h",), ("--help",), ("-t", "x", "--help")])
def test_help(build, given):
    status, output, errors, commands = build(*given)
    assert (status, errors, commands) == (0, "", [])
    for word in ("-nc, --no-cache", "-t, --tag <tag>", "-p, --platform <platforms>", "-dp, --default-platforms", "-h, --help",
                 "linux/arm64,linux/amd64", f"{NAME}:{VERSION}"):
        assert word in output


@pytest.mark.parametrize("given, word", [
    (("--push",), "--push"), (("latest",), "latest"), (("",), "unknown option"),
    (("-t",), "-t needs a value"), (("--tag", ""), "--tag needs a value"), (("--tag", "-nc"), "--tag needs a value"),
    (("-p",), "-p needs a value"), (("--platform", "--no-cache"), "--platform needs a value"),
    (("-t", "a b"), '"a b" is not a tag'), (("-t", "a/b"), '"a/b" is not a tag'), (("-t", "x" * 124), "is not a tag"),
    (("-p", "arm64"), '"arm64" is not a list of platforms'), (("-p", "linux/arm64,"), "is not a list of platforms"),
    (("-p", "linux/arm64,", "-nc"), "is not a list of platforms"), (("-p", " "), "-p needs a value"),
])
def test_wrong_use(build, given, word):
    status, output, errors, commands = build(*given)
    assert (status, output, commands) == (1, "", [])
    assert errors.startswith("buildDockerImages.sh: ") and errors.count("\n") == 1 and word in errors


@pytest.mark.parametrize("fails, word", [
    ("buildx?version", "docker buildx is missing"), ("version*", "no Docker engine answers"), ("*--target?main*", f"cannot build {NAME}:{VERSION}\n"),
    ("*--target?dev*", f"cannot build {NAME}:{VERSION}-dev"), ("buildx?[ci]*", "cannot make the builder"),
])
def test_what_is_missing_is_said(build, fails, word):
    status, output, errors, _ = build("-dp", fails=fails)
    assert (status, output) == (1, "")
    assert errors.startswith("buildDockerImages.sh: ") and errors.count("\n") == 1 and word in errors


def test_without_docker(build, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "env", "sed", "dirname", "readlink"):
        (tools / name).symlink_to(shutil.which(name, path="/usr/bin:/bin"))
    status, output, errors, _ = build(path=str(tools))
    assert (status, output) == (1, "")
    assert errors.startswith("buildDockerImages.sh: the docker command is missing; install Docker")


def test_the_version_is_that_of_cmake(build):
    text = (build.clone / "CMakeLists.txt").read_text()
    (build.clone / "CMakeLists.txt").write_text(text.replace(f"VERSION {VERSION} ", "VERSION 12.34.56 "))
    assert f"--tag {NAME}:12.34.56 " in build()[3][0]
    (build.clone / "CMakeLists.txt").write_text("")
    status, _, errors, commands = build()
    assert (status, commands) == (1, []) and "has no name or no version" in errors


def test_by_a_link_from_elsewhere(build, tmp_path):
    (tmp_path / "link").symlink_to(build.clone / "buildDockerImages.sh")
    done = subprocess.run([tmp_path / "link", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and f"{NAME}:{VERSION}" in done.stdout
