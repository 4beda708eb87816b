"""The checks of run.sh. Each takes the tracked and new files of src, include and tests, and yields complaints."""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

# A folder includes itself and what stands to its right.
LAYERS = ["cli", "sync", "haul", "plan", "source|sink", "ledger", "pg", "archive", "copy", "io", "base"]

# Where the flags stand, so that there is one place for them.
CMAKE = ROOT / "CMakeLists.txt"


def sources(*folders, ext=(".c", ".h")):
    for folder in folders:
        yield from sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in ext)


def rel(path):
    return path.relative_to(ROOT).as_posix()


def code_of(text, keep_strings=False):
    """The text without comments (and string contents), line by line as it was."""

    def blank(match):
        found = match.group(0)
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return found if keep_strings else found[0] + found[-1]

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def numbered(path, **how):
    return enumerate(code_of(path.read_text(), **how).splitlines(), 1)


def rank(folder):
    return next((i for i, names in enumerate(LAYERS) if folder in names.split("|")), None)


def layers():
    """Includes point to the right; source and sink files know nothing of each other; one door to libpq and YAML."""
    for path in sources("src", "include"):
        parts = path.relative_to(ROOT).parts
        here = parts[1] if parts[0] == "src" else "include"
        for n, line in numbered(path, keep_strings=True):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not m:
                continue
            quoted, name = m.group(1) == '"', m.group(2)
            where = f"{rel(path)}:{n}: includes {name}"
            if name.startswith("libpq") and here != "pg":
                yield f"{where}: src/pg is the one door to libpq"
            if name == "yaml.h" and here != "cli":
                yield f"{where}: only src/cli reads YAML"
            if name == "liburing.h" and rel(path) != "src/io/ring.c":
                yield f"{where}: src/io/ring.c is the one door to io_uring"
            if name.startswith("lz4") and rel(path) != "src/io/frame.c":
                yield f"{where}: src/io/frame.c is the one door to lz4"
            if name.startswith("curl/") and rel(path) != "src/io/http.c":
                yield f"{where}: src/io/http.c is the one door to libcurl"
            if name == "microhttpd.h" and rel(path) != "src/cli/listener.c":
                yield f"{where}: src/cli/listener.c is the one door to libmicrohttpd"
            if not quoted or name.startswith("pghaul/"):
                continue
            folder = name.split("/")[0]
            if "/" not in name:
                yield f"{where}: our headers are named with their folder"
            elif here == "include":
                yield f"{where}: public headers include public headers only"
            elif rank(folder) is None or rank(here) is None:
                yield f"{where}: no such layer"
            elif rank(folder) < rank(here):
                yield f"{where}: {here} stands below {folder}"
            elif here in ("source", "sink") and folder in ("source", "sink") and name != f"{here}/{path.stem}.h":
                yield f"{where}: sources and sinks do not know each other"


BANNED = {
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok)\s*\(": "writes or cuts without a bound",
    r"\b(atoi|atol|atoll|atof)\s*\(": "does not tell errors; see base/num.h",
    r"\b(system|popen|tmpnam|mktemp)\s*\(": "is not safe",
    r"\b(asctime|localtime|gmtime|ctime)\s*\(": "is not thread-safe; use the _r kind",
    r"\balloca\s*\(": "has no bound",
}
ENDS = r"\b(exit|_exit|_Exit|quick_exit|abort)\s*\("
PRINTS = r"\b(printf|vprintf|puts|putchar)\s*\(|\bf(printf|puts|write)\s*\([^;]*\bstdout\b"
# A text that cannot grow, or a mistake of ours in a format: nothing to go on with.
MAY_ABORT = {"src/base/buf.c", "src/base/arena.c", "src/pg/sql.c"}
# A forked process ends itself, without its parent's exit handlers; fault points end it on purpose.
MAY_UNDERSCORE_EXIT = {"src/pg/snapshot.c", "src/base/fault.c"}


def banned():
    """Functions that have a better brother, and acts that belong to the command line."""
    for path in sources("src", "include"):
        name = rel(path)
        for n, line in numbered(path):
            for pattern, why in BANNED.items():
                m = re.search(pattern, line)
                if m:
                    yield f"{name}:{n}: {m.group(1) if m.groups() else m.group(0)}: {why}"
            if name.startswith("src/cli/"):
                continue
            m = re.search(ENDS, line)
            may = {"abort": MAY_ABORT, "_exit": MAY_UNDERSCORE_EXIT}
            if m and name not in may.get(m.group(1), ()):
                yield f"{name}:{n}: {m.group(1)}: only the command line ends the program"
            m = re.search(PRINTS, line)
            if m:
                yield f"{name}:{n}: only the command line prints"


def flags():
    text = CMAKE.read_text()
    warnings = re.search(r"add_compile_options\((-W[^)]*)\)", text).group(1).split()
    pq = subprocess.run(["pkg-config", "--cflags", "libpq", "libxxhash", "jansson", "yaml-0.1"], check=True,
                        stdout=subprocess.PIPE, text=True).stdout.split()
    defines = ["-D_GNU_SOURCE", '-DPGHAUL_VERSION="0"']
    return ["-std=gnu17", *warnings, *defines, f"-I{ROOT}/include", f"-I{ROOT}/src", f"-I{ROOT}/tests/unit", *pq]


def compile_all(jobs):
    """Runs (name, command) pairs; yields what the failing ones said first."""

    def run(job):
        name, command = job
        p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return f"{name}: {p.stdout.strip()[:600]}" if p.returncode else None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        yield from (said for said in pool.map(run, jobs) if said)


def headers():
    """Each header compiles alone, with gcc and with clang."""
    common = [f for f in flags()] + ["-Werror", "-fsyntax-only"]
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for path in sources("src", "include", ext=(".h",)):
            lone = Path(folder) / (rel(path).replace("/", "_") + ".c")
            # Twice: so its guard works too. A declaration of our own: an empty file is no C.
            lone.write_text(f'#include "{path}"\n#include "{path}"\nextern int lone;\n')
            jobs += [(f"{rel(path)} ({cc})", [cc, *common, str(lone)]) for cc in ("gcc", "clang")]
        yield from compile_all(jobs)


def clang():
    """The build's warnings are errors of clang here, with the fault points and without."""
    common = ["clang", *flags(), "-Werror", "-fsyntax-only"]
    jobs = [(rel(p), [*common, str(p)]) for p in sources("src", "tests/unit", ext=(".c",))]
    jobs += [(f"{rel(p)} (faults)", [*common, "-DPGHAUL_FAULTS", str(p)])
             for p in sources("src", ext=(".c",)) if re.search("PGHAUL_FAULTS|PH_FAULT", p.read_text())]
    yield from compile_all(jobs)


def format():
    """clang-format has nothing to change."""
    files = [str(p) for p in sources("src", "include", "tests/unit")]
    if not files:
        return
    p = subprocess.run(["clang-format", "--dry-run", *files], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for name in sorted(set(re.findall(r"^(\S+?):\d+:\d+: warning: code should be clang-formatted", p.stderr, re.M))):
        yield f"{rel(Path(name))}: not as clang-format writes it"


def notes():
    """What is not done stands in README, not in the code."""
    for path in sources("src", "include"):
        for n, line in enumerate(path.read_text().splitlines(), 1):
            m = re.search(r"\b(TODO|FIXME|XXX)\b", line)
            if m:
                yield f"{rel(path)}:{n}: {m.group(1)}"


def versions():
    """What servers of which version can do stands in base/feature.c, and nowhere else."""
    for path in sources("src"):
        for n, line in numbered(path):
            if "version" in line and re.search(r"\b[12][0-9]0000\b", line):
                yield f"{rel(path)}:{n}: a server's version; see base/feature.h"


TOP = {"src", "include", "bench", "tests", "CMakeLists.txt", "README.md"}


def toplevel():
    """The top level of the repository is fixed."""
    names = []
    git = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if git.returncode == 0:
        names = sorted({f.split("/")[0] for f in git.stdout.split("\0") if f})
    else:  # a tarball: build directories are no part of it
        names = sorted(p.name for p in ROOT.iterdir() if not p.name.startswith("build"))
    for name in names:
        if name not in TOP and not name.startswith("."):
            yield f"{name} does not belong on the top level"


NEEDS = {"headers": ["gcc", "clang", "pkg-config"], "clang": ["clang", "pkg-config"],
         "format": ["clang-format"]}


def run(name):
    missing = [tool for tool in NEEDS.get(name, []) if not shutil.which(tool)]
    complaints = [f"{tool} is not installed" for tool in missing] or list(globals()[name]())
    print(f"{'FAIL' if complaints else 'ok  '} lint {name}")
    for text in complaints:
        print("     " + text.replace("\n", "\n     "))
    sys.stdout.flush()
    return not complaints


def main():
    known = (HERE / "checks").read_text().split()
    wanted = sys.argv[1:] or known
    for name in wanted:
        if name not in known:
            sys.exit(f"no check is called {name}; there are {', '.join(known)}")
    return 0 if all([run(name) for name in wanted]) else 1


sys.exit(main())
