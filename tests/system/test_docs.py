# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the documentation: every block of code runs, and the tables match the code.

A block is marked by a comment on the line before it, or by its language:

    <!-- file: PATH -->          its text is a file in the directory where the commands run
    <!-- background: PATH -->    commands that go on; they are ready when that file is there, and end with the page
    <!-- skip: REASON -->        does not run on a plain machine; the reason is shown (pytest -rs)
    sh                           commands that have to end well; one shell and one directory for all of a page

A block of any other kind is a mistake, except `text`, which is for people only.
"""

import gzip
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest
import yaml

from broker import scaled, wait_until
from host import BINARY, BUILD, Host, ROOT
from test_kit import Kit

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(os.path.join("docs", name) for name in os.listdir(os.path.join(ROOT, "docs"))
                                                 if name.endswith(".md"))]
ELSEWHERE = {os.path.join("docs", "deploy.md"): "tests/container runs what it shows, on a Docker engine"}
BLOCK = re.compile(r"^(?:<!-- (\w+): ([^\n]*) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def blocks(page):
    return [match.groups() for match in BLOCK.finditer(read(page))]


def test_no_block_is_missed():
    for page in PAGES:
        assert len(blocks(page)) * 2 == len(re.findall(r"^\s*```", read(page), re.MULTILINE)), page


class Page:
    """The state of a reader of a page: files, and a shell's directory and variables."""

    def __init__(self, directory, env):
        self.directory, self.env, self.started = directory, env, []
        (directory / "state").write_text(f"cd {shlex.quote(str(directory))}\n")

    def script(self, text):
        state = shlex.quote(str(self.directory / "state"))
        return f"set -eo pipefail; . {state}\n{text}\n{{ printf 'cd %q\\n' \"$PWD\"; export -p; }} > {state}\n"

    def run(self, text):
        done = subprocess.run(["bash", "-c", self.script(text)], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              cwd=self.directory, timeout=scaled(120))
        assert done.returncode == 0, f"{text}\n{done.stdout.decode()}\n{done.stderr.decode()}"

    def where(self):
        line = (self.directory / "state").read_text().splitlines()[0]
        return shlex.split(line)[1]

    def file(self, path, text):
        with open(os.path.join(self.where(), path), "w", encoding="utf-8") as file:
            file.write(text)

    def background(self, ready, text):
        self.started.append(subprocess.Popen(["bash", "-c", self.script(text)], env=self.env, stdin=subprocess.DEVNULL,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.directory,
                                             start_new_session=True))
        path = os.path.join(self.where(), ready)
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) or self.started[-1].poll() is not None, 20, ready)
        assert self.started[-1].poll() is None, self.started[-1].stderr.read().decode()

    def end(self):
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=scaled(20))


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """Without a blank in its name, like the reader's /usr."""
    return Kit(tmp_path_factory.mktemp("kit") / "prefix")


@pytest.mark.parametrize("name", PAGES)
def test_page(name, kit, broker, mov, client, tmp_path):
    """In a directory that looks like the tree, with the kit installed, a broker and a MOV."""
    if name in ELSEWHERE:
        pytest.skip(ELSEWHERE[name])
    for link, target in (("build/release", BUILD), ("plugins", os.path.join(ROOT, "plugins"))):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        os.symlink(target, tmp_path / link)
    env = {**Host(broker, plugins=()).env, **kit.env, "HOME": str(tmp_path / "home")}
    env["PATH"] = f"{kit.prefix / 'bin'}:{env['PATH']}"
    page, skipped = Page(tmp_path, env), []
    try:
        for mark, value, language, text in blocks(name):
            if mark == "skip":
                skipped.append(f"{text.splitlines()[0]}: {value}")
            elif mark == "file":
                page.file(value, text)
            elif mark == "background":
                page.background(value, text)
            elif language == "sh":
                page.run(text)
            else:
                assert language == "text" or not language, f"{name}: a block of {language!r} without a mark:\n{text}"
    finally:
        page.end()
        client.delete("valawai/c1/greeter/data/received_message", "valawai/c1/greeter/data/publish_message",
                      "valawai/c1/greeter/control/registered")
    if skipped:
        print("not run:", *skipped, sep="\n  ")


# --- tables -----------------------------------------------------------------------------------------------------------


def header_without_comments():
    return re.sub(r"/\*.*?\*/", "", read("include", "valawai", "plugin.h"), flags=re.DOTALL)


def members(structure):
    """The names of a structure's members, in order."""
    body = re.search(rf"^struct {structure} {{(.*?)^}};", header_without_comments(), re.MULTILINE | re.DOTALL).group(1)
    body = re.sub(r"__attribute__\(\(.*?\)\)\)?", "", body, flags=re.DOTALL)
    found = []
    for statement in filter(str.strip, body.split(";")):
        function = re.search(r"\(\*(\w+)\)\(", statement)
        found.append(function.group(1) if function else re.search(r"(\w+)(\[\d+\])?\s*$", statement).group(1))
    return found


def rows(page, title):
    """The first cells of the table under a title, without their back quotes."""
    section = read(page).split(f"## {title}\n")[1].split("\n## ")[0]
    return [cell for cell in re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)]


def test_abi_tables_have_every_member():
    assert rows("docs/plugin-abi.md", "What a plugin may call") == members("valawai_host")[3:]
    assert rows("docs/plugin-abi.md", "What a plugin gives") == members("valawai_plugin")[4:]


def test_abi_tables_have_every_constant():
    text = header_without_comments()
    constants = {name: int(value) for kind in ("verdict", "error")
                 for name, value in re.findall(r"(VALAWAI_\w+) = (-?\d+)",
                                               re.search(rf"enum valawai_{kind} {{(.*?)}}", text, re.DOTALL).group(1))}
    shown = {name: int(value) for name, value in re.findall(r"^\| `(VALAWAI_\w+)` \| (-?\d+) \|", read("docs", "plugin-abi.md"),
                                                            re.MULTILINE)}
    assert shown == constants and len(shown) == 10


def test_abi_version():
    major, minor = (re.search(rf"VALAWAI_ABI_{part} (\d+)u", read("include", "valawai", "plugin.h")).group(1)
                    for part in ("MAJOR", "MINOR"))
    assert f"This is ABI {major}.{minor}." in read("docs", "plugin-abi.md")


def since(page_row):
    return re.search(rf"^\| `{page_row}` \| (\d\.\d) \|", read("docs", "plugin-abi.md"), re.MULTILINE).group(1)


def test_abi_tables_say_since_when():
    """1.0 has every member so far; an appended member gets the minor version that added it."""
    for structure, first in (("valawai_host", 3), ("valawai_plugin", 4)):
        assert {since(name) for name in members(structure)[first:]} == {"1.0"}


# --- Kubernetes -------------------------------------------------------------------------------------------------------


def test_the_manifest_of_kubernetes_is_in_itself_right():
    """There is no cluster here."""
    (text,) = (text for _, _, language, text in blocks("docs/deploy.md") if language == "yaml")
    secret, deployment = yaml.safe_load_all(text)
    pod = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert volumes["broker"]["secret"]["secretName"] == secret["metadata"]["name"] and "password" in secret["stringData"]
    known = {variable for variable, _ in settings_of_help().values()}
    assert {variable["name"] for variable in container["env"]} <= known
    probes = {key: container[key]["httpGet"] for key in container if key.endswith("Probe")}
    assert {key: probe["path"] for key, probe in probes.items()} == {"readinessProbe": "/readyz", "livenessProbe": "/livez"}
    (port,) = container["ports"]
    assert all(probe["port"] == port["name"] for probe in probes.values())
    assert re.search(rf"\bHTTP_LISTEN=\[::\]:{port['containerPort']}\b", read("docker", "main", "Dockerfile"))


# --- man pages --------------------------------------------------------------------------------------------------------


def help_text():
    return subprocess.run([BINARY, "--help"], capture_output=True, check=True).stdout.decode()


def settings_of_help():
    """section.key -> (variable, default)."""
    return {match[1]: (match[2] or "", match[3] or "") for match in re.finditer(
        r"^  ([a-z_]+(?:\.[a-z_]+)?)  *([A-Z][A-Z_]+)? +\S.*?(?: \[(.*)\])?$", help_text().split("Settings, in")[1], re.MULTILINE)}


def settings_of_man():
    found, section = {}, ""
    text = read("docs", "man", "plugins.conf.5").split(".Sh SETTINGS")[1].split(".Sh EXAMPLES")[0]
    for block in re.split(r"^(?=\.It |\.Ss |\.Sh )", text, flags=re.MULTILINE):
        if block.startswith(".Sh PLUGINS"):
            section = "plugin."
        elif block.startswith(".Ss "):
            section = block.splitlines()[0][4:] + "."
        elif block.startswith(".It "):
            name, variable = re.match(r"\.It Ic (\w+)(?: Pq Ev (\w+))?$", block.splitlines()[0]).groups()
            default = re.search(r"^Default:\n\.Ql (\S+)", block, re.MULTILINE)
            found[section + name] = (variable or "", default.group(1) if default else "")
    return found


def test_man_has_every_setting():
    shown, described = settings_of_help(), settings_of_man()
    assert len(shown) > 25
    shown["broker.port"] = ("RABBITMQ_PORT", "5672")  # the page has the default with TLS in a sentence of its own
    shown["plugin.path"] = ("", "")  # the same
    assert described == shown


def test_man_has_every_verb_and_option():
    usage = help_text().split("\n\n")[0]
    page = read("docs", "man", "valawai-host.1").split(".Sh DESCRIPTION")[0]
    in_help = [(line.split()[0].strip("[]"), sorted(re.findall(r"--[\w-]+", line)))
               for line in re.findall(r"valawai-host (.*(?:\n {12,}.*)*)", usage)]
    in_page = [(re.search(r"Cm (\w+)", part).group(1), sorted("-" + option for option in re.findall(r"Fl (-[\w-]+)", part)))
               for part in page.split("\n.Nm\n")[1:]]
    assert in_page == in_help and len(in_help) == 14


def test_every_option_is_described():
    """Page and help have the same short and long options with their verbs, and the program accepts them."""
    options = {}
    for letter, word, verbs in re.findall(r"^  (?:-(\w), )?(--[\w-]+)(?: [A-Z]+)?  +(?:of ([a-z, ]+): )?.*$",
                                          help_text().split("\nSettings, in")[0], re.MULTILINE):
        options[word] = (letter, verbs.split(", ") if verbs else [])
    part = read("docs", "man", "valawai-host.1").split("The options are:")[1].split(".Sh ENVIRONMENT")[0]
    page = {}
    for letter, word, text in re.findall(r"^\.It Fl (?:(\w) , )?(-[\w-]+)[^\n]*\n((?:(?!\.It ).*\n)*)", part, re.MULTILINE):
        page["-" + word] = (letter, re.findall(r"\w+", " ".join(re.findall(r"^(?:\.Cm )(.*)$", text, re.MULTILINE))))
    assert page == options and len(options) == 20
    usage = help_text().split("\n\n")[0]
    assert set(re.findall(r"--[\w-]+", usage)) | {"--help", "--version"} == set(options)
    for word, (letter, verbs) in options.items():
        for form in [word, *(["-" + letter] if letter else [])]:
            for verb in verbs:  # followed by an unknown option, so that the verb does nothing
                ended = subprocess.run([BINARY, verb, form, *(["1"] if re.search(rf"{word} [A-Z]", usage) else []), "--no"],
                                       capture_output=True, text=True, check=False)
                assert ended.returncode == 2 and "unknown option --no;" in ended.stderr, (verb, form)


def test_plugins_conf_has_every_setting():
    """So does the example file of the tree."""
    text = read("plugins.conf")
    for name, (variable, _) in settings_of_help().items():
        section, _, key = name.rpartition(".")
        if section == "plugin":
            part = text.split("\n# plugin echo {\n")[1].split("\n# }")[0]
        else:
            part = text.split(f"\n{section} {{\n")[1].split("\n}")[0] if section else text
        line = re.search(rf"^# +{key} = .*", part, re.MULTILINE)
        assert line and variable in line.group(0), name


def test_plugins_conf_is_accepted(tmp_path):
    """As it is, and with every setting of the host that it shows."""
    text = read("plugins.conf")
    section = text[text.index("\n# plugin echo {\n"):]
    section = section[:section.index("\n# }") + 4]
    values = re.sub(r"^#( +\w+ = )", r"\1", text.replace(section, ""), flags=re.MULTILINE)
    assert len(re.findall(r"^ +\w+ = ", values, re.MULTILINE)) > 10
    (tmp_path / "secret.txt").write_text("password\n")  # that the broker's password_file names
    for number, content in enumerate((text, values)):
        path = tmp_path / f"{number}.conf"
        path.write_text(content)
        done = subprocess.run([BINARY, "run", "--config", str(path), "no-such.so"], capture_output=True, text=True, check=False,
                              cwd=tmp_path)
        assert done.returncode == 1 and "no-such.so" in done.stderr and ".conf" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["valawai-host.1", "plugins.conf.5"])
def test_man_pages_are_good(kit, name, tmp_path):
    page = read("docs", "man", name)
    installed = tmp_path / name
    installed.write_bytes(gzip.decompress((kit.prefix / "share" / "man" / f"man{name[-1]}" / (name + ".gz")).read_bytes()))
    assert installed.read_text() == page
    assert max(map(len, page.splitlines())) <= 130
    if shutil.which("mandoc"):
        command = ["mandoc", "-T", "lint", "-W", "warning", str(installed)]
    elif shutil.which("groff"):
        command = ["groff", "-mandoc", "-Tutf8", "-ww", "-z", str(installed)]
    else:
        pytest.skip("neither mandoc nor groff is installed")
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


# --- the rooms --------------------------------------------------------------------------------------------------------


def includes(root):
    return subprocess.run([os.path.join(ROOT, ".ci", "includes.py"), str(root)], capture_output=True, text=True, check=False)


@pytest.fixture
def rooms(tmp_path):
    shutil.copytree(os.path.join(ROOT, "host"), tmp_path / "host")
    (tmp_path / "docs").mkdir()
    shutil.copy(os.path.join(ROOT, "docs", "architecture.md"), tmp_path / "docs")
    return tmp_path


def test_a_room_includes_only_what_its_line_allows(rooms):
    result = includes(rooms)
    assert result.returncode == 0, result.stdout
    (rooms / "host" / "base" / "wrong.c").write_text('#include "broker/wire.h"\n')
    result = includes(rooms)
    assert (result.returncode, result.stdout) == (1, "host/base/wrong.c:1: base/ may not include broker/wire.h\n")


def test_each_room_has_a_line_and_each_line_a_room(rooms):
    (rooms / "host" / "attic").mkdir()
    shutil.rmtree(rooms / "host" / "cli")
    result = includes(rooms)
    assert result.returncode == 1
    assert result.stdout.splitlines() == ["host/attic: no room in docs/architecture.md",
                                          "host/cli: in docs/architecture.md, but not there"]
