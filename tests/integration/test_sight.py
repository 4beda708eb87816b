"""What a run shows of itself: where its time goes, metrics, JSON logs, and the report of a job that ended, well or badly."""

import html.parser
import json
import os
import re
import signal
import time
import urllib.request

import data
from cluster import wait_for
from story import Skip, story

STAGES = {"source_wait", "source_read", "fingerprint", "compress", "spill_write", "spill_read", "target_write",
          "target_wait", "commit_wait", "throttled"}
SMALL = ("--shard-size", "256kB")
ODD = """od"d <b>&amp; 'n\u00e4me' \u202e"""
SECRET = "sEcReT-of-a-row"


def quoted(name):
    return '"%s"' % name.replace('"', '""')


# Where time goes --------------------------------------------------------------------------------------------


def check_accounts(result):
    assert set(result["stages"]) == STAGES, result["stages"]
    spent = sum(result["stages"].values())
    assert 0 < spent <= result["seconds"] * result["workers"] + 0.1, (spent, result["seconds"])
    shares = result["bottleneck"]
    assert set(shares) == {"source", "target", "self"}, shares
    assert abs(sum(shares.values()) - 1) < 1e-6, shares
    return result["stages"], shares


def limit(t, table, job, *args):
    result = t.copy("-t", table, "--job", job, "-j", 2, "--spill", "never", "--json", *args).expect(0).json
    stages, shares = check_accounts(result)
    t.note("%s: %s %s" % (job, result["limit"], stages))
    return result["limit"], stages, shares


@story()
def the_bottleneck_is_the_side_that_was_made_slow(t):
    data.narrow(t, 1000)
    t.source.query("create function dawdle(bigint) returns boolean immutable language plpgsql as "
                   "'begin perform pg_sleep(0.0003); return true; end'")
    said, stages, shares = limit(t, "narrow", "source", *SMALL, "--where", "public.dawdle(id)")
    assert re.match(r"source is the limit: \d+ % of the time waiting for COPY TO", said), said
    assert stages["source_wait"] > 0.5 and shares["source"] > 0.8, (stages, shares)

    t.target.query("truncate narrow; create function slow() returns trigger language plpgsql as "
                   "'begin perform pg_sleep(0.002); return new; end'; "
                   "create trigger slow before insert on narrow for each row execute function slow()")
    said, stages, shares = limit(t, "narrow", "target", "--triggers", "fire", *SMALL)
    assert re.match(r"target is the limit: \d+ % of the time waiting for COPY FROM", said), said
    assert shares["target"] > 0.8, (stages, shares)
    assert "PgSleep" in said, "what the target waits for is not told: " + said

    t.target.query("drop trigger slow on narrow; truncate narrow; create function late() returns trigger "
                   "language plpgsql as 'begin perform pg_sleep(0.4); return null; end'; "
                   "create constraint trigger late after insert on narrow deferrable initially deferred "
                   "for each row when (new.id = 7) execute function late()")
    said, stages, shares = limit(t, "narrow", "commit", "--triggers", "fire")
    assert "waiting for COMMIT" in said and stages["commit_wait"] > 0.35, (said, stages)

    t.target.query("drop trigger late on narrow; truncate narrow")
    # in many pieces: a rate lets one pass and makes the next wait
    said, stages, shares = limit(t, "narrow", "rate", "--split", "key", "--shard-rows", 50, "--max-rate", "50kB/s")
    assert re.match(r"the rate is the limit: \d+ % of the time held back", said), said
    assert stages["throttled"] > 0.3, stages


@story()
def what_goes_by_way_of_files_is_accounted_and_so_is_an_extract(t):
    data.mixed(t, 20000)
    result = t.copy("-t", "mixed", "-j", 2, *SMALL, "--spill", "always", "--json").expect(0).json
    stages, _ = check_accounts(result)
    for stage in ("source_wait", "compress", "spill_write", "target_wait", "commit_wait"):
        assert stages[stage] > 0, stages
    archive = os.path.join(t.directory, "archive")
    result = t.run("extract", "-s", t.source.dsn, "-d", "archive:" + archive, "-t", "mixed", "--json").expect(0).json
    stages, _ = check_accounts(result)
    assert stages["target_wait"] == stages["target_write"] == 0 and stages["spill_write"] > 0, stages


# Metrics ------------------------------------------------------------------------------------------------------

LINE = re.compile(r'pghaul_[a-z_]+\{job="[^"]*"(,[a-z]+="(?:[^"\\\n]|\\["\\n])*")?\} [-+0-9.e]+')


def parse(text):
    """Values by name and labels; every line is as the format wants it."""
    values = {}
    assert text.endswith("\n"), "the file is torn"
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.match(r"# (HELP|TYPE) pghaul_[a-z_]+ \S", line), line
            continue
        assert LINE.fullmatch(line), line
        name, value = line.rsplit(" ", 1)
        assert name not in values, "twice: " + name
        values[name] = float(value)
    return values


def ask(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer.headers
        return parse(answer.read().decode())


@story()
def metrics_are_whole_at_any_moment_and_tell_the_end(t):
    data.narrow(t, 20000)
    t.both("create table %s (id int primary key)" % quoted(ODD))
    path = os.path.join(t.directory, "run.prom")
    seen, files = [], set()
    with t.start_copy("-t", "narrow", "-t", quoted(ODD), "--job", "m", "-j", 2, *SMALL, "--max-rate", "700kB/s", "-v",
                      "--metrics-file", path, "--metrics-listen", "0") as run:
        wait_for(lambda: "metrics are at http" in run.stderr_so_far(), "the page", 10)
        url = re.search(r"metrics are at (http://127\.0\.0\.1:\d+/metrics)", run.stderr_so_far()).group(1)
        page = ask(url)
        assert page['pghaul_up{job="m"}'] == 1 and page['pghaul_job_state{job="m",state="running"}'] == 1, page
        again = ask(url)
        assert again['pghaul_run_seconds{job="m"}'] > page['pghaul_run_seconds{job="m"}'], (page, again)
        t.copy("-t", "narrow", "--job", "n", "--metrics-listen", url.split("/")[2]).expect(2, "cannot listen")
        t.copy("-t", "narrow", "--job", "n", "--metrics-listen", "0.0.0.0:9187").expect(2, "this host alone")
        while run.alive():
            if os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    files.add(os.fstat(f.fileno()).st_ino)
                    seen.append(parse(f.read()))
            time.sleep(0.01)
        run.wait().expect(0)
    assert seen and seen[0]['pghaul_up{job="m"}'] == 1, "nothing while it ran"
    assert any(v['pghaul_job_state{job="m",state="running"}'] == 1 for v in seen[:1])
    with open(path, encoding="utf-8") as f:
        end = parse(f.read())
        files.add(os.fstat(f.fileno()).st_ino)
    assert len(files) > 1, "the file is written over instead of being replaced"
    assert end['pghaul_up{job="m"}'] == 0 and end['pghaul_job_state{job="m",state="completed"}'] == 1, end
    assert end['pghaul_rows{job="m"}'] == 20000
    assert end['pghaul_shards{job="m"}'] == end['pghaul_shards_landed{job="m"}'] > 2
    assert end['pghaul_worker_seconds_total{job="m",stage="throttled"}'] > 0.3, end
    assert [k for k in end if k.startswith("pghaul_table_rows") and "n\u00e4me" in k], end
    assert not [f for f in os.listdir(t.directory) if "prom." in f], "left behind"
    sometimes = {'pghaul_eta_seconds{job="m"}'}  # only while it can be told
    running = [v for v in seen if v['pghaul_up{job="m"}']][-1]
    assert set(running) - sometimes == set(page) - sometimes, set(running) ^ set(page)


@story()
def metrics_that_cannot_be_written_are_a_warning_and_no_failure(t):
    data.narrow(t, 2000)
    for job, path in (("full", "/dev/full"), ("missing", os.path.join(t.directory, "none", "run.prom"))):
        t.target.query("truncate narrow")
        ended = t.copy("-t", "narrow", "--job", job, "--metrics-file", path).expect(0)
        assert ended.err.count("metrics file") == 1, ended.err


@story(campaign=True)
def metrics_are_whole_or_old_while_their_directory_is_full_and_new_when_it_is_not(t):
    data.narrow(t, 20000)
    small = os.path.join(t.directory, "small")
    os.mkdir(small)
    if os.getuid() != 0 or os.system("mount -t tmpfs -o size=32k,mode=0777 none %s 2>/dev/null" % small):
        raise Skip("no right to mount a small file system")
    try:
        path, filler = os.path.join(small, "run.prom"), os.path.join(small, "filler")
        with open(path, "w") as f:
            f.write("old\n")
        with open(filler, "wb", 0) as f:
            f.write(b"x" * 28672)
        with t.start_copy("-t", "narrow", "--job", "m", "-j", 2, *SMALL, "--max-rate", "50kB/s", "--metrics-file", path) as running:
            wait_for(lambda: "metrics file" in running.stderr_so_far(), "a warning", 10)
            with open(path) as f:
                assert f.read() == "old\n"
            os.unlink(filler)
            wait_for(lambda: "pghaul_up" in open(path).read() or not running.alive(), "metrics when there is room", 10)
            t.run("control", "m", "rate=off").expect(0)
            ended = running.wait().expect(0)
        assert ended.err.count("metrics file") == 1, ended.err
        with open(path) as f:
            assert parse(f.read())['pghaul_job_state{job="m",state="completed"}'] == 1
        assert os.listdir(small) == ["run.prom"], os.listdir(small)
    finally:
        os.system("umount -l " + small)


# Logs -----------------------------------------------------------------------------------------------------------


def events(text):
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert {"ts", "level", "event", "message"} <= set(line), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"]), line
    return lines


@story()
def events_have_stable_names_and_say_what_they_are_about(t):
    data.narrow(t, 15000)
    t.both("create table bad (id int primary key, v text)")
    t.source.query("insert into bad select i, '%s' from generate_series(1, 10) i" % SECRET)
    t.target.query("alter table bad add check (id < 5)")
    ended = t.copy("-t", "narrow", "-t", "bad", "--job", "ev", "-j", 2, *SMALL, "--spill", "always", "-vv",
                   "--log-format", "json", "--max-rate", "700kB/s").expect(1)
    lines = events(ended.err)
    named = {}
    for line in lines:
        named.setdefault(line["event"], []).append(line)
    shards = t.target.int("select count(*) from pghaul.shard where state = 'landed'")
    assert shards > 2 and len({x["shard"] for x in named["landed"]}) == shards, named["landed"]
    assert {x["table"] for x in named["landed"]} == {"public.narrow"}
    assert sum(x["rows"] for x in named["landed"]) == 15000
    assert len(named["spilled"]) >= shards and named["claimed"], named.keys()
    assert named["parked"][0]["table"] == "public.bad" and named["parked"][0]["level"] == "error", named["parked"]
    assert {x.get("job") for event in ("started", "landed", "failed") for x in named[event]} == {"ev"}, named
    assert "throttled" in named, named.keys()
    assert SECRET not in ended.err
    kept = t.target.column("select event from pghaul.event order by at")
    assert kept[0] == "started" and kept[-1] == "failed" and "parked" in kept, kept
    assert t.target.int("select count(*) from pghaul.event where text ~ '%s'" % SECRET) == 0


# The report -----------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Its words; and whether it is well-formed, and asks for nothing."""

    VOID = {"meta", "path", "link", "img", "br"}
    LAZY = {"th", "tr"}  # whose ends may be left out

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.words, self.tags = [], [], set()
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert tag not in ("script", "iframe", "object", "embed", "img", "link"), tag
        for name, value in attrs:
            assert name not in ("src", "href", "srcset") and not name.startswith("on"), (tag, name, value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        while self.open[-1] != tag and self.open[-1] in self.LAZY:
            self.open.pop()
        assert self.open.pop() == tag, "</%s> closes something else" % tag

    def handle_data(self, text):
        self.words.append(text)

    @property
    def text(self):
        return "\n".join(self.words)


def report(t, job, expect, ledger=None):
    path = os.path.join(t.directory, job + ".html")
    t.run("report", job, "-d", ledger or t.target.dsn, "-o", path).expect(0, path)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
    assert SECRET not in text, "a value of a row is in the report"
    page = Page(text)
    assert re.search(r'class="pill [a-z]+">%s<' % expect, text), re.findall(r'class="pill[^<]*<', text)
    return page, text


def odd_tables(t):
    """Tables whose names and keys are out to break a page."""
    t.both("create table %s (id text primary key, v text)" % quoted(ODD))
    t.source.query("insert into %s select '%s' || i, '%s' from generate_series(1, 8000) i"
                   % (quoted(ODD), SECRET, SECRET))
    data.narrow(t, 20000)
    t.source.query("analyze")
    return ("-t", quoted(ODD), "-t", "narrow", "--split", "key", "-j", 2, *SMALL)


@story()
def a_job_that_died_was_interrupted_and_went_on_is_told_in_one_page(t):
    args = (*odd_tables(t), "--job", "r")
    with t.start_copy(*args, "--max-rate", "400kB/s") as running:
        t.when_landed(1, running)
        report(t, "r", "running")
        running.kill9()
    wait_for(lambda: t.status("r")["state"] != "running", "the ledger's knowledge of its death")
    page, _ = report(t, "r", "died")
    assert ODD in page.text or ODD.replace('"', '""') in page.text, page.text[:2000]
    assert "svg" in page.tags

    with t.start_copy(*args, "--max-rate", "400kB/s") as running:
        before = t.landed()
        wait_for(lambda: t.landed() > before or not running.alive(), "a shard of the second run")
        running.signal(signal.SIGINT)
        running.wait().expect(130)
    page, _ = report(t, "r", "interrupted")
    assert "interrupted" in page.text

    t.copy(*args, "--spill", "always").expect(0)
    page, text = report(t, "r", "completed")
    for words in ("28,000", "died", "interrupted", "completed", "Throughput", "Shards by worker", "shared_buffers",
                  "3 runs", "public.narrow", "What workers' time went into"):
        assert words in page.text, words
    shards = t.target.int("select count(*) from pghaul.shard")
    bars = len(re.findall(r"<title>shard \d+ of [^<]*: [\d,]+ rows", text))
    spilled = t.target.int("select count(*) from pghaul.all_receipts where sealed_at is not null")
    assert bars == shards + spilled and spilled > 0, (bars, shards, spilled)
    samples = t.target.query("select mover, count(*), max(bytes) from pghaul.sample group by 1 order by 1")
    assert len(samples) >= 2, samples
    t.run("clean", "r", "-d", t.target.dsn, "--yes").expect(0)
    assert t.target.one("select to_regnamespace('pghaul')") is None, "clean left something behind"


@story()
def a_pause_is_told_with_who_asked_for_it(t):
    data.narrow(t, 20000)
    with t.start_copy("-t", "narrow", "--job", "z", "-j", 2, *SMALL, "--spill", "never", "--max-rate", "400kB/s") as running:
        t.when_landed(1, running)
        t.run("control", "z", "pause").expect(0)
        time.sleep(0.3)
        t.run("control", "z", "resume").expect(0)
        t.run("control", "z", "rate=off").expect(0)
        running.wait().expect(0)
    kept = [e for e in t.target.query("select event, text from pghaul.event order by at") if e[0] in ("paused", "resumed")]
    assert [e[0] for e in kept] == ["paused", "resumed"] and kept[0][1].startswith("pause by "), kept
    page, text = report(t, "z", "completed")
    assert "<rect class=paused" in text and kept[0][1] in page.text, kept


@story()
def an_extract_that_died_is_told_and_what_was_to_be_kept_is_kept_in_its_directory(t):
    tables = odd_tables(t)
    directory = os.path.join(t.directory, "archive")
    archive, journal = "archive:" + directory, os.path.join(directory, "journal.jsonl")
    args = ("extract", "-s", t.source.dsn, "-d", archive, *tables, "--job", "x")

    def files():
        return len([f for f in os.listdir(directory) if f.endswith(".lz4")]) if os.path.isdir(directory) else 0

    with t.mover.start(*args, "--max-rate", "150kB/s") as running:
        wait_for(lambda: files() > 1 or not running.alive(), "files")
        report(t, "x", "running", archive)
        t.run("control", "x", "rate=60kB/s", "rows=9k/s", "--keep").expect(0)
        wait_for(lambda: '"file"' in open(journal).read(), "a file in the journal", 5)
        running.kill9()
    dead = files()
    page, text = report(t, "x", "died", archive)
    assert re.search(r'<td class=n>[1-9]\d*</td><td class=bad>died<', text), "a run that died has files"
    assert ODD in page.text or ODD.replace('"', '""') in page.text, page.text[:2000]
    assert len(re.findall(r"<title>shard \d+ of [^<]*: [\d,]+ rows", text)) > 0

    with open(journal, "a") as f:  # it died in the middle of a line
        f.write('{"sample": {"at": 7')
    t.run("control", "x", "rate=70kB/s", "-d", archive).expect(2, "--keep")
    t.run("control", "y", "rate=70kB/s", "-d", archive, "--keep").expect(2, "of job x")
    t.run("control", "x", "rate=ever", "-d", archive, "--keep").expect(2)
    t.run("control", "x", "rate=70kB/s", "-d", archive, "--keep").expect(0, "kept for later runs")
    with t.mover.start(*args) as running:
        wait_for(lambda: t.run("control", "x", "status").rc == 0 or not running.alive(), "an answer")
        status = t.run("control", "x", "status", "--json").expect(0).json["settings"]
        assert (status["source_rate"], status["source_rows"]) == (70000, 9000), status  # the last of each kind
        t.run("control", "x", "rate=off", "rows=off").expect(0)
        running.wait().expect(0, "control: rate=70kB/s, by ")
    page, text = report(t, "x", "completed", archive)
    for words in ("28,000", "completed", "Throughput", "Shards by worker", "shared_buffers", "2 runs", "What workers' time went into"):
        assert words in page.text, words
    shards, bars = files(), len(re.findall(r"<title>shard \d+ of [^<]*: [\d,]+ rows", text))
    assert shards - dead <= bars <= shards and bars > dead / 2, (dead, bars, shards)
    assert '"error":null' in open(journal).read().splitlines()[-1]
    t.run("archive", "verify", directory).expect(0)
    os.unlink(journal)  # it is nobody's business but people's
    report(t, "x", "completed", archive)
    t.run(*args).expect(0)
    t.run("report", "z", "-d", archive, "-o", "-").expect(2, "of job x")


@story()
def a_report_can_be_piped_and_says_what_stands_in_its_way(t):
    data.narrow(t, 1000)
    t.run("report", "-d", t.target.dsn).expect(2, "no pghaul job")
    t.copy("-t", "narrow", "--job", "p").expect(0)
    piped = t.run("report", "-d", t.target.dsn, "-o", "-").expect(0)
    Page(piped.out)
    t.run("report", "-d", t.target.dsn, "-o", "/dev/full").expect(2, "cannot write report")
    t.run("report", "nobody", "-d", t.target.dsn, "-o", "-").expect(2, "no job nobody")
    answer = t.run("report", "-d", t.target.dsn, "-o", os.path.join(t.directory, "p.html"), "--json").expect(0).json
    assert answer["job"] == "p" and answer["state"] == "completed", answer


@story()
def a_ledger_that_takes_no_history_does_not_stop_a_job(t):
    """History is for people: whatever becomes of it, rows move."""
    data.narrow(t, 20000)
    with t.start_copy("-t", "narrow", "-j", 2, *SMALL, "--max-rate", "700kB/s", "-v") as running:
        t.when_landed(1, running)
        t.target.query("alter table pghaul.sample add check (bytes < 0) not valid; drop table pghaul.event")
        ended = running.wait().expect(0)
    assert ended.err.count("what happens is not remembered") == 1, ended.err
    t.same("narrow")
