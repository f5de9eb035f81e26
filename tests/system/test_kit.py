# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools of a plugin's author: `valawai-host new`, and the installed development kit, without the tree."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest
import yaml

from broker import scaled
from host import BINARY, BUILD, ROOT, published, received

NEW = os.path.join(ROOT, "templates", "component")
ENV = {key: value for key, value in os.environ.items() if key in ("PATH", "LD_LIBRARY_PATH") or key.endswith("SAN_OPTIONS")}


def run(*command, cwd=None, status=0, stdin=b"", env=None, timeout=120):
    """stdout and stderr of a command that must end with this status."""
    done = subprocess.run(command, cwd=cwd, env={**ENV, **(env or {})}, input=stdin, capture_output=True,
                          timeout=scaled(timeout))
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == status, f"{command}: exit status {done.returncode}\n{output}"
    return output


def files(directory):
    """The contents of every file of a directory, by its relative path."""
    return {os.path.relpath(os.path.join(at, name), directory): open(os.path.join(at, name), "rb").read()
            for at, _, names in os.walk(directory) for name in names}


class Kit:
    """An installation in a directory with a blank in its name."""

    def __init__(self, prefix):
        run("cmake", "--install", BUILD, "--prefix", str(prefix))
        self.prefix = prefix
        self.host = os.path.join(prefix, "bin", "valawai-host")
        pkgconfig, = prefix.glob("lib/**/pkgconfig")
        self.env = {"CMAKE_PREFIX_PATH": str(prefix), "PKG_CONFIG_PATH": str(pkgconfig), "CMAKE_GENERATOR": "Ninja"}

    def configure(self, project, *options):
        return run("cmake", "-B", "build", *options, cwd=project, env=self.env)

    def build(self, project, status=0):
        return run("cmake", "--build", "build", cwd=project, status=status)

    def check(self, path):
        return run(self.host, "check", str(path))

    def echo(self, path, topic=received(), text="hello", key="content"):
        """The plugin's publications for one message."""
        body = json.dumps({key: text})
        done = subprocess.run([self.host, "try", "--topic", topic, path], input=body.encode(), env=ENV, capture_output=True,
                              timeout=scaled(20))
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit") / "a prefix")


@pytest.fixture
def echo(tmp_path):
    """A copy of plugins/echo, with the three lines of CMake that it needs outside of the tree."""
    project = tmp_path / "elsewhere"
    shutil.copytree(os.path.join(ROOT, "plugins", "echo"), project)
    (project / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.20)\nproject(echo LANGUAGES C CXX)\n"
                                            "find_package(ValawaiHost REQUIRED)\n"
                                            "valawai_add_plugin(echo SOURCES echo.c ASYNCAPI asyncapi.yaml)\n")
    return project


def without_cxx(project):
    (project / "CMakeLists.txt").write_text((project / "CMakeLists.txt").read_text().replace(" CXX", ""))
    return project


def exported(path):
    """The exported symbols, without those of a sanitizer."""
    names = [line.split()[0] for line in run("nm", "-D", "--defined-only", "--format=posix", str(path)).splitlines()]
    return [name for name in names if not name.startswith("__")]


# --- the kit ----------------------------------------------------------------------------------------------------------


def test_find_package(kit, echo):
    kit.configure(without_cxx(echo))
    assert "good" in kit.build(echo)  # the check is part of the build
    assert exported(echo / "build" / "echo.so") == ["valawai_plugin_entry"]
    assert kit.echo(echo / "build" / "echo.so") == [{"topic": published(), "body": {"content": "hello"}}]


def test_the_tree_and_the_kit_build_the_same(kit, echo):
    """A copy of plugins/echo builds the plugin of the package."""
    kit.configure(without_cxx(echo))
    kit.build(echo)
    built = kit.check(echo / "build" / "echo.so").splitlines()[1:]
    shipped, = kit.prefix.glob("lib/**/echo.so")
    assert built == kit.check(shipped).splitlines()[1:]


@pytest.mark.parametrize("more", [b"", b"# no end of a line", "# \"é\" \\ %d ${x} ; $<1:2> \t\n\n\n".encode(), b"#\r\n"])
def test_the_document_is_embedded_byte_for_byte(kit, echo, more):
    document = (echo / "asyncapi.yaml").read_bytes() + more
    (echo / "asyncapi.yaml").write_bytes(document)
    kit.configure(without_cxx(echo))
    kit.build(echo)
    assert (echo / "build" / "echo.so").read_bytes().count(document + b"\0") == 1


def test_the_document_changes(kit, echo):
    kit.configure(without_cxx(echo))
    kit.build(echo)
    document = (echo / "asyncapi.yaml").read_text().replace("version: 1.0.0", "version: 1.2.3")
    (echo / "asyncapi.yaml").write_text(document)
    kit.build(echo)
    assert "1.2.3" in kit.check(echo / "build" / "echo.so")
    assert document.encode() + b"\0" in (echo / "build" / "echo.so").read_bytes()
    warnings = [line for line in kit.check(echo / "build" / "echo.so").splitlines() if "warning" in line]
    assert all("its schema matches" in line for line in warnings)  # the version is the document's, also the second time


@pytest.mark.parametrize("old, new, thing", [
    ("asyncapi: '2.6.0'", "asyncapi: '3.0.0'", "2.6.0"),
    ("'#/components/messages/received_message'", "'#/components/messages/ech_message'", "ech_message"),
    ("valawai/c1/echo/data/received_message:", "valawai/c1/echo/data/received:", "received_message"),
])
def test_the_build_ends_with_an_error_of_check(kit, echo, old, new, thing):
    kit.configure(without_cxx(echo))
    kit.build(echo)
    document = (echo / "asyncapi.yaml").read_text()
    (echo / "asyncapi.yaml").write_text(document.replace(old, new))
    output = kit.build(echo, status=1)
    assert "error" in output and thing in output
    (echo / "asyncapi.yaml").write_text(document)
    kit.build(echo)


def test_version(kit, echo):
    without_cxx(echo)
    (echo / "CMakeLists.txt").write_text((echo / "CMakeLists.txt").read_text().replace("yaml)", "yaml VERSION 1.0.0)"))
    kit.configure(echo)
    assert "1.0.0" in kit.build(echo)


def cxx_compilers():
    return [compiler for compiler in ("g++", "clang++") if shutil.which(compiler)]


def in_cxx(echo, languages):
    """The same plugin in C++17 with parts of the standard library, in a project of these languages."""
    source = (echo / "echo.c").read_text()
    os.remove(echo / "echo.c")
    source = source.replace("host = self;", "host = static_cast<const valawai_host *>(self);").replace(
        "(void *)host;", "const_cast<valawai_host *>(host);").replace(
        "static int start(", "static std::map<std::string, std::string> seen;\n\nstatic int start(").replace(
        "    return 0;", '    seen["start"] = std::string(valawai_asyncapi).substr(0, 8);\n    return 0;')
    source = source.replace("#include <valawai", "#include <map>\n#include <string>\n#include <valawai", 1)
    entry = source.index("const struct valawai_plugin valawai_plugin_entry")
    source = source[:entry] + ("const valawai_plugin valawai_plugin_entry = {VALAWAI_PLUGIN_HEAD, VALAWAI_PLUGIN_VERSION,"
                               " valawai_asyncapi, topics, start, nullptr, nullptr, nullptr, 0, 0};\n")
    source = source.replace("{0},\n};", "{nullptr, nullptr, {nullptr, nullptr}},\n};")
    assert "std::map" in source and "substr" in source
    (echo / "echo.cpp").write_text(source)
    lists = echo / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("echo.c ", "echo.cpp ").replace("LANGUAGES C CXX", "LANGUAGES " + languages))


@pytest.mark.parametrize("languages", ["C CXX", "CXX"])
@pytest.mark.parametrize("build", ["", "Release"])  # an unoptimised build has copies of the library's templates in it
@pytest.mark.parametrize("compiler", cxx_compilers() or [""])
def test_cxx(kit, echo, compiler, build, languages):
    """With the usual warnings of C++ projects, and a document that is not only ASCII."""
    if not compiler:
        pytest.skip("no C++ compiler")
    in_cxx(echo, languages)
    with open(echo / "asyncapi.yaml", "a", encoding="utf-8") as file:
        file.write("# é\n")
    kit.configure(echo, "-DCMAKE_CXX_STANDARD=17", "-DCMAKE_CXX_EXTENSIONS=OFF", f"-DCMAKE_BUILD_TYPE={build}",
                  f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror")
    kit.build(echo)
    assert exported(echo / "build" / "echo.so") == ["valawai_plugin_entry"]
    assert (echo / "asyncapi.yaml").read_bytes() + b"\0" in (echo / "build" / "echo.so").read_bytes()
    assert kit.echo(echo / "build" / "echo.so") == [{"topic": published(), "body": {"content": "hello"}}]


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld"])
def test_every_linker_takes_what_is_exported(kit, echo, linker):
    if not shutil.which("ld." + linker):
        pytest.skip(f"no ld.{linker}")
    kit.configure(without_cxx(echo), f"-DCMAKE_MODULE_LINKER_FLAGS=-fuse-ld={linker}")
    kit.build(echo)
    assert exported(echo / "build" / "echo.so") == ["valawai_plugin_entry"]


@pytest.mark.parametrize("languages, source, wanted", [("C", "echo.cpp", "CXX"), ("CXX", "echo.c", "C")])
def test_a_source_in_a_language_that_the_project_has_not(kit, echo, languages, source, wanted):
    """CMake would skip the source, and the plugin would be empty."""
    if languages == "CXX" and not cxx_compilers():
        pytest.skip("no C++ compiler")
    (echo / "echo.cpp").write_bytes((echo / "echo.c").read_bytes())
    lists = echo / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("LANGUAGES C CXX", "LANGUAGES " + languages).replace("echo.c ", source + " "))
    output = " ".join(run("cmake", "-B", "build", cwd=echo, env=kit.env, status=1).split())
    assert f"{source} wants the language {wanted}, and the project has only: {languages}." in output
    assert output.count("CMake Error") == 1


def test_a_document_that_is_not_there(kit, echo):
    os.remove(echo / "asyncapi.yaml")
    output = run("cmake", "-B", "build", cwd=without_cxx(echo), env=kit.env, status=1)
    assert "asyncapi.yaml: no such file" in " ".join(output.split()) and output.count("CMake Error") == 1


def test_pkg_config(kit, echo):
    """No CMake: one line of gcc."""
    line = (r"""eval gcc -shared -fPIC -fvisibility=hidden -o echo.so -DVALAWAI_PLUGIN_VERSION='\"1.0.0\"' """
            "$(pkg-config --cflags valawai-host) echo.c $(pkg-config --variable=asyncapi valawai-host)")
    run("sh", "-e", "-c", line, cwd=echo, env=kit.env)  # eval: pkg-config quotes the blank in the prefix
    assert "good" in kit.check(echo / "echo.so")
    assert exported(echo / "echo.so") == ["valawai_plugin_entry"]
    assert (echo / "asyncapi.yaml").read_bytes() + b"\0" in (echo / "echo.so").read_bytes()
    assert kit.echo(echo / "echo.so") == [{"topic": published(), "body": {"content": "hello"}}]


def test_pkg_config_cxx(kit, echo):
    if not shutil.which("g++"):
        pytest.skip("no g++")
    in_cxx(echo, "CXX")
    line = (r"""eval g++ -std=c++17 -shared -fPIC -fvisibility=hidden -o echo.so -DVALAWAI_PLUGIN_VERSION='\"1.0.0\"' """
            "$(pkg-config --cflags valawai-host) echo.cpp $(pkg-config --variable=asyncapi valawai-host)")
    exports = " -Wl,--version-script=$(pkg-config --variable=exports valawai-host)"
    run("sh", "-e", "-c", line, cwd=echo, env=kit.env)
    assert len(exported(echo / "echo.so")) > 1  # so the flag is needed
    run("sh", "-e", "-c", line + exports, cwd=echo, env=kit.env)
    assert exported(echo / "echo.so") == ["valawai_plugin_entry"]
    assert "good" in kit.check(echo / "echo.so")


@pytest.mark.parametrize("name", ["echo", "load", "guard"])
def test_every_plugin_of_the_tree_exports_one_symbol(name):
    assert exported(os.path.join(BUILD, "plugins", name + ".so")) == ["valawai_plugin_entry"]


@pytest.mark.parametrize("prefix", ["/usr", "/usr/local", "/opt/valawai"])
def test_what_is_installed_names_its_prefix(tmp_path, prefix):
    """With every configured prefix. DESTDIR, which packages use, is not part of it."""
    run("cmake", "--install", BUILD, "--prefix", prefix, env={"DESTDIR": str(tmp_path)})
    settings = ("" if prefix == "/usr" else prefix) + "/etc/valawai-host"
    conf = (tmp_path / settings[1:] / "echo.conf").read_text()
    plugins = conf.split('plugin_directory = "')[1].split('"')[0]
    assert plugins.startswith(prefix + "/lib/") and (tmp_path / plugins[1:] / "echo.so").exists()
    assert f" {settings}/echo.conf\n" in conf
    unit = (tmp_path / prefix[1:] / "lib/systemd/system/valawai-host@.service").read_text()
    assert f"\nExecStart={prefix}/bin/valawai-host --config {settings}/%i.conf\n" in unit
    assert f"\nEnvironmentFile=-{settings}/%i.env\n" in unit
    assert os.path.exists(f"{tmp_path}{prefix}/bin/valawai-host")
    assert os.path.exists(f"{tmp_path}{unit.split('Documentation=file:')[1].split()[0]}")
    assert str(tmp_path) not in conf + unit


def test_strict_c11(kit, tmp_path):
    source = tmp_path / "strict.c"
    source.write_text("#include <valawai/plugin.h>\nint main(void) { return (int)sizeof(struct valawai_plugin) == 0; }\n")
    for compiler in filter(shutil.which, ("gcc", "clang")):
        run(compiler, "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{kit.prefix}/include",
            str(source))


# --- valawai_test_plugin ----------------------------------------------------------------------------------------------


def message(text, topic=received()):
    return json.dumps({"topic": topic, "body": {"content": text}}, separators=(",", ":"), ensure_ascii=False) + "\n"


@pytest.fixture
def tested(kit, echo):
    """Builds the echo with additional source, and returns the result of its test with these input and output lines."""
    def run_test(source="", lines=("a", "b"), out=None, rejected=0, status=0, remove=None):
        (echo / "echo.c").write_text((echo / "echo.c").read_text().replace("static const struct valawai_topic", source +
                                     "\nstatic const struct valawai_topic").replace(".start = start,", ".start = start," + " .stop = stop," * bool(source)))
        (echo / "in.jsonl").write_text("".join(map(message, lines)))
        expected = "".join(message(line, published()) for line in lines if isinstance(line, str))
        (echo / "out.jsonl").write_text(expected if out is None else out)
        lists = without_cxx(echo) / "CMakeLists.txt"
        lists.write_text(lists.read_text() + "enable_testing()\nvalawai_test_plugin(echo INPUT in.jsonl EXPECT out.jsonl"
                         f" REJECTED {rejected})\n")
        if remove:
            os.remove(echo / remove)
        kit.configure(echo)
        (echo / "build" / "plugins.conf").write_text("host { grace_seconds = 1 }\n")  # where ctest runs it
        kit.build(echo)
        return run("ctest", "--test-dir", "build", "--output-on-failure", cwd=echo, status=status)
    return run_test


# Not when `check` unloads it: only after a stop.
AT_EXIT = ("#include <stdlib.h>\n#include <unistd.h>\nstatic volatile int stopped;\n"
           "static void stop(void *self) {{ (void)self; stopped = 1; }}\n"
           "__attribute__((destructor)) static void at_exit(void) {{ if (stopped) {{ {} }} }}\n")
HANGS = "#include <unistd.h>\nstatic void stop(void *self) { (void)self; for (;;) pause(); }\n"


def test_the_tested_plugin_is_good(tested):
    """The control: the same plugin, with a stop and a destructor that do nothing."""
    assert "100% tests passed" in tested(AT_EXIT.format(""), lines=("a", 5, "b"), rejected=1)


@pytest.mark.parametrize("lines, rejected", [(("a",), 0), (("a", 5), 1)])
@pytest.mark.parametrize("source, thing", [
    (AT_EXIT.format("abort();"), "ended with: "),
    (AT_EXIT.format("*(volatile int *)8 = 1;"), "ended with: "),
    (AT_EXIT.format("_exit(3);"), "ended with: 3"),
    (HANGS, "did not return"),
], ids=["abort", "segv", "exit", "hang"])
def test_a_plugin_that_ends_badly_passes_no_test(tested, source, thing, lines, rejected):
    """Although its output is as expected."""
    assert thing in tested(source, lines=lines, rejected=rejected, status=8)


@pytest.mark.parametrize("lines, rejected, thing", [
    (("a", 5), 0, "messages rejected: 1, and not 0."), (("a",), 1, "messages rejected: 0, and not 1."),
    (("a", 5, 6), 1, "messages rejected: 2, and not 1.")])
def test_as_many_are_rejected_as_it_says(tested, lines, rejected, thing):
    assert thing in tested(lines=lines, rejected=rejected, status=8)


def shown(output):
    return [line.strip() for line in output.splitlines()]


LONG = '; [ ${x} \\ "é" ' + "a long text with many words in it, " * 10


@pytest.mark.parametrize("lines, out, number, expected, got", [
    (("a", LONG, "c"), ("a", LONG + "!", "c"), 2, message(LONG + "!", published()), message(LONG, published())),
    (("a", "b"), ("a",), 2, "(nothing more)", message("b", published())),
    (("a",), ("a", "b"), 2, message("b", published()), "(nothing more)"),
    (("a",), (), 1, "(nothing more)", message("a", published())),
], ids=["long", "more", "less", "nothing"])
def test_the_first_line_that_differs_is_shown_as_it_is(tested, lines, out, number, expected, got):
    output = shown(tested(lines=lines, out="".join(message(text, published()) for text in out), status=8))
    assert any(f"out.jsonl: line {number} is not what came out of " in line for line in output)
    assert f"expected: {expected.rstrip()}" in output and f"got:      {got.rstrip()}" in output
    assert any("Received a message to echo" in line for line in output)  # the records


def test_a_line_end_that_is_missing_is_shown(tested):
    line = message("a", published())[:-1]
    output = shown(tested(lines=("a",), out=line, status=8))
    assert f"expected: {line} (without a line end)" in output and f"got:      {line}" in output


@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl"])
def test_a_file_of_the_test_that_is_not_there_is_named(tested, name):
    assert any(f"/{name}: no such file" in line for line in shown(tested(remove=name, status=8)))


# --- new --------------------------------------------------------------------------------------------------------------


def test_new_writes_the_files_of_the_tree(kit, tmp_path):
    """The files of templates/ are what `new` writes for a component of their name, all of them."""
    output = run(kit.host, "new", "c1_my_component", cwd=tmp_path)
    assert "c1_my_component" in output and "README.md" in output
    today = time.strftime("%B ") + time.strftime("%d, %Y").lstrip("0")
    words = {b"@TYPE@": b"C1", b"@DATE@": today.encode(), b"@YEAR@": time.strftime("%Y").encode()}
    expected = files(NEW)
    for path, content in expected.items():
        for word, text in words.items():
            content = content.replace(word, text)
        expected[path] = content
    assert files(tmp_path / "c1_my_component") == expected


@pytest.mark.parametrize("name", ["c0_sensor", "c2_my_judge"])
def test_new_writes_what_the_library_of_the_mov_reads(tmp_path, name):
    """With the patterns of the MOV's library."""
    run(BINARY, "new", name, cwd=tmp_path)
    project, kind = tmp_path / name, name[:2].upper()
    assert {"README.md", "LICENSE", "CHANGELOG.md", "asyncapi.yaml", "docker-compose.yml"} <= set(os.listdir(project))
    readme = (project / "README.md").read_text()
    assert re.search(r"[-|\s*_]+name[*_\s:]+([^\n]+)", readme, re.I).group(1).strip() == name[3:]
    description = re.match(r"#[^\n]+([^#]+)", readme).group(1).split()
    assert description[:3] == ["Publishes", "the", "length"]
    for word in ("version", "api"):
        version, date = re.search(word + r"[:*_\s\[]*(\d+\.\d+\.\d+)\s*\(([^)]+)\)", readme, re.I).groups()
        assert version == yaml.safe_load((project / "asyncapi.yaml").read_text())["info"]["version"]
        assert time.strptime(date, "%B %d, %Y")
    assert f"https://valawai.github.io/docs/components/{kind}/{name[3:]})" in readme
    service, = yaml.safe_load((project / "docker-compose.yml").read_text())["services"]
    assert service == name
    assert not re.search(r"@[A-Z]+@", "".join(text.decode() for text in files(project).values()))


@pytest.mark.parametrize("name", ["c0_sensor", "c1_my_component", "c2_2", "c1_test", "c1_My_Component", "c1_" + "x" * 197])
def test_new_builds_passes_its_test_and_answers(kit, tmp_path, name):
    run(kit.host, "new", name, cwd=tmp_path)
    project = tmp_path / name
    left = [path for path, content in files(project).items() if b"my_component" in content or "my_component" in path]
    assert left == [] or name == "c1_my_component"
    kit.configure(project, "-DCMAKE_C_FLAGS=-Wall -Wextra -Wshadow -Wmissing-prototypes -Werror")
    assert " -O2 " in (project / "build" / "build.ninja").read_text()  # although no build type is set
    kit.build(project)
    assert "100% tests passed, 0 tests failed out of 2" in run("ctest", "--test-dir", "build", cwd=project)
    topics = f"valawai/{name[:2]}/{name[3:]}/data/"
    assert kit.echo(project / "build" / (name + ".so"), topics + "received_message", key="text") == [
        {"topic": topics + "publish_message", "body": {"bytes": 17}}]
    assert "warning" not in kit.check(project / "build" / (name + ".so"))


def test_new_wants_no_library(kit, tmp_path):
    """Without cmocka and json-c only one test is missing."""
    run(kit.host, "new", "c1_bare", cwd=tmp_path)
    run("cmake", "-B", "build", cwd=tmp_path / "c1_bare",
        env={**kit.env, "PKG_CONFIG_LIBDIR": str(tmp_path), "PKG_CONFIG_PATH": ""})
    kit.build(tmp_path / "c1_bare")
    assert "100% tests passed, 0 tests failed out of 1" in run("ctest", "--test-dir", "build", cwd=tmp_path / "c1_bare")


@pytest.mark.parametrize("file, old, new, failed", [
    ("test/out.jsonl", "22", "23", "c1_my_component"),                   # another length came out
    ("test/in.jsonl", '"text":""', '"text":"x"', "c1_my_component"),  # a message more
    ("test/in.jsonl", '"text":"Hello"', '"text":5', "c1_my_component"),  # a message less
    ("CMakeLists.txt", "REJECTED 1", "", "c1_my_component"),
    ("my_component.c", "!= VALAWAI_OK", "== VALAWAI_OK", "c1_my_component handler_test"),
    ("my_component.c", "return VALAWAI_FAILED", "return VALAWAI_RETRY", "handler_test"),
    ("my_component.c", "return VALAWAI_DONE", "return VALAWAI_WRONG", "c1_my_component handler_test"),
    ("my_component.c", "body, (size_t)len)", 'body, (size_t)len) + host->publish(host, '
     '"valawai/c1/my_component/data/publish_message", body, (size_t)len)', "c1_my_component handler_test"),
    ("test/handler_test.c", "#define PUBLISHED \"{", "#define PUBLISHED \"[{", "handler_test"),
    ("CMakeLists.txt", "$<TARGET_FILE:c1_my_component>", "nowhere.so", "handler_test"),
])
def test_the_tests_of_new_can_fail(kit, tmp_path, file, old, new, failed):
    run(kit.host, "new", "c1_my_component", cwd=tmp_path)
    project = tmp_path / "c1_my_component"
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    kit.configure(project)
    kit.build(project)
    output = run("ctest", "--test-dir", "build", cwd=project, status=8)
    assert re.findall(r"- (\w+) \(Failed\)", output) == failed.split()


def test_new_runs_as_a_component(kit, new_host, broker, mov, client, tmp_path):
    run(kit.host, "new", "c1_greeter", "--dir", "its place", cwd=tmp_path)
    kit.configure(tmp_path / "its place")
    kit.build(tmp_path / "its place")
    new_host(broker, plugins=(str(tmp_path / "its place" / "build" / "c1_greeter.so"),)).start().wait_healthy()
    assert [component["name"] for component in mov.active()] == ["c1_greeter"]
    topics = "valawai/c1/greeter/data/"
    client.declare(topics + "publish_message")
    client.publish(topics + "received_message", {"text": "x"})
    assert client.collect(topics + "publish_message", 1) == [b'{"bytes":13}']
    client.delete(topics + "received_message", "valawai/c1/greeter/control/registered")


@pytest.mark.parametrize("name", ["greeter", "c3_greeter", "c1", "c1_", "c1-greeter", "C1_greeter", "c1_a-b", "c1_é", "c1_a b",
                                  "c1_a/b", "../c1_a", ""])
def test_new_refuses_a_name_that_the_mov_would(tmp_path, name):
    output = run(BINARY, "new", name, cwd=tmp_path, status=2)
    assert output.startswith("valawai-host: ") and r"c[012]_\w+" in output and name in output
    assert os.listdir(tmp_path) == []


def test_new_writes_over_nothing(tmp_path):
    (tmp_path / "c1_a").mkdir()
    (tmp_path / "file").write_text("mine")
    assert "File exists" in run(BINARY, "new", "c1_a", cwd=tmp_path, status=1)
    assert "File exists" in run(BINARY, "new", "c1_b", "--dir", "file", cwd=tmp_path, status=1)
    assert "No such file" in run(BINARY, "new", "c1_b", "--dir", "nowhere/c1_b", cwd=tmp_path, status=1)
    assert os.listdir(tmp_path / "c1_a") == [] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("args, thing", [((), "name"), (("c1_a", "c1_b"), "name"), (("--frob", "c1_a"), "--frob"),
                                         (("c1_a", "--dir"), "--dir"), (("c1_a", "--from"), "--from"), (("c1_" + "x" * 198,), "255")])
def test_new_wrong_usage(tmp_path, args, thing):
    assert thing in run(BINARY, "new", *args, cwd=tmp_path, status=2)
    assert os.listdir(tmp_path) == []


# --- new --from -------------------------------------------------------------------------------------------------------

GOOD = os.path.join(ROOT, "tests", "corpus", "good")


def component_of(path):
    level, name = re.search(r"valawai/(c[012])/(\w+)/control/registered", open(path).read().replace("\\/", "/")).groups()
    return f"{level}_{name}"


def new_from(path, directory, host=BINARY):
    return run(host, "new", component_of(path), "--from", str(path), "--dir", str(directory))


@pytest.mark.parametrize("file", sorted(os.listdir(GOOD)))
def test_new_from_a_document_has_a_message_for_each_channel(tmp_path, file):
    output = new_from(os.path.join(GOOD, file), tmp_path / "project")
    assert "in.jsonl" not in output
    document = (tmp_path / "project" / "asyncapi.yaml").read_bytes()
    assert open(os.path.join(GOOD, file), "rb").read().removeprefix(b"\xef\xbb\xbf") == document
    lines = [json.loads(line) for line in (tmp_path / "project" / "test" / "in.jsonl").read_text().splitlines()]
    subscribed = [line.split()[1] for line in run(BINARY, "check", str(tmp_path / "project" / "asyncapi.yaml")).splitlines()
                  if line.split()[0] == "receives" and not line.split()[1].endswith("/control/registered")]
    assert [line["topic"] for line in lines] == subscribed
    for line in lines:
        verdict = run(BINARY, "validate", str(tmp_path / "project" / "asyncapi.yaml"), line["topic"],
                      stdin=json.dumps(line["body"]).encode())
        assert verdict == "1: valid\n"


@pytest.mark.parametrize("file", ["c0_flow.yaml", "c0_lamp_actuator.yaml", "c1_json_line.json", "c1_keywords.yaml",
                                  "c1_serviced.yaml", "c1_unquoted.yaml", "c2_treatment_valuator.yaml"])
def test_new_from_a_document_builds_and_passes_its_test(kit, tmp_path, file):
    project = tmp_path / "project"
    new_from(os.path.join(GOOD, file), project, kit.host)
    kit.configure(project, "-DCMAKE_C_FLAGS=-Wall -Wextra -Wshadow -Wmissing-prototypes -Werror")
    kit.build(project)
    assert "100% tests passed, 0 tests failed out of 1" in run("ctest", "--test-dir", "build", cwd=project)
    assert not re.search(r"@[A-Z_]+@|my_component", "".join(text.decode() for text in files(project).values()
                                                           if b"\0" not in text))
    with open(project / "test" / "out.jsonl", "a") as out:
        out.write("{}\n")
    run("ctest", "--test-dir", "build", cwd=project, status=8)


def a_document(channels):
    """A document of c1_odd, with a payload for each channel that it subscribes to."""
    properties = {name: {"type": "string"} for name in ("id", "name", "description", "version", "api_version", "type")}
    properties |= {"since": {"type": "integer"}, "channels": {"type": "array", "items": {"type": "object"}}}
    registered = {"subscribe": {"message": {"payload": {"type": "object", "properties": properties}}}}
    return json.dumps({
        "asyncapi": "2.6.0", "info": {"title": "Odd", "version": "1.0.0", "description": "Odd, and\n  long. */"},
        "channels": {**{f"valawai/c1/odd/{name}": {"subscribe": {"message": {"payload": payload}}}
                        for name, payload in channels.items()},
                     "valawai/c1/odd/control/registered": registered}}, indent=2)


def test_new_from_a_document_makes_names_and_comments_of_c(kit, tmp_path):
    payload = {"type": "object", "properties": {"*/ int x; /*": {"type": "string"}, "a": {"enum": ["*/", "/*", "??/"]}}}
    (tmp_path / "asyncapi.json").write_text(a_document({"data/a.b": payload, "data/a-b": payload, "control/a_b": payload,
                                                        "data/int": payload, "data/1/2": payload}))
    new_from(tmp_path / "asyncapi.json", tmp_path / "project", kit.host)
    kit.configure(tmp_path / "project", "-DCMAKE_C_FLAGS=-std=c11 -Wall -Wextra -Werror")
    kit.build(tmp_path / "project")
    assert "100% tests passed" in run("ctest", "--test-dir", "build", cwd=tmp_path / "project")
    assert len(set(re.findall(r"int (on_\w+)\(", (tmp_path / "project" / "odd.c").read_text()))) == 5
    assert "Odd, and long. */" in (tmp_path / "project" / "README.md").read_text()


def test_new_from_a_document_names_the_channel_without_a_message(tmp_path):
    (tmp_path / "asyncapi.json").write_text(a_document({
        "data/plain": {"type": "object"},
        "data/hard": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "pattern": "^(?=b)b$"}}}}))
    output = new_from(tmp_path / "asyncapi.json", tmp_path / "project")
    assert "    valawai/c1/odd/data/hard\n" in output and "test/in.jsonl" in output and "data/plain" not in output
    assert (tmp_path / "project" / "test" / "in.jsonl").read_text() == '{"topic":"valawai/c1/odd/data/plain","body":{}}\n'


@pytest.mark.parametrize("name, text, thing", [
    ("c1_other", a_document({}), "the document belongs to c1_odd, not to c1_other"),
    ("c1_odd", a_document({"data/x": {"type": "objekt"}}), "the document has errors; `valawai-host check "),
    ("c1_odd", "{", "the document has errors"),
    ("c1_odd", None, "No such file"),
], ids=["other", "wrong", "broken", "missing"])
def test_new_from_a_document_that_will_not_do_writes_nothing(tmp_path, name, text, thing):
    if text is not None:
        (tmp_path / "asyncapi.json").write_text(text)
    output = run(BINARY, "new", name, "--from", "asyncapi.json", cwd=tmp_path, status=1)
    assert thing in output and output.startswith("valawai-host: ") and output.count("\n") == 1
    assert not (tmp_path / name).exists()
