"""The same questions to both servers."""

import json
import os

import data
from story import story

FILE = """
queries:
  - name: rows
    sql: SELECT count(*) AS n, sum(a) FROM narrow
  - name: by number
    sql: SELECT a % 3 AS k, count(*) FROM narrow GROUP BY 1 ORDER BY 1
    tolerance: 20%
  - name: another question
    source: SELECT count(*) FROM narrow WHERE id <= 10
    target: SELECT 10
"""


@story()
def answers_are_compared_row_by_row_and_within_their_tolerance(t):
    data.narrow(t, 1000)
    t.copy("-t", "narrow").expect(0)
    f = t.write("q.yaml", FILE)

    def ask(*args, rc=0):
        result = t.run("verify", *t.ends(), "--queries", f, "--json", *args).expect(rc).json
        assert result["equal"] == (rc == 0) and result["queries"]["equal"] == (rc == 0), result
        return {q["name"]: q for q in result["queries"]["pairs"]}
    answers = ask()
    assert len(answers) == 3 and all(q["equal"] and q["source_seconds"] > 0 and q["target_seconds"] > 0 for q in answers.values()), answers
    t.target.query("delete from narrow where id <= 2")
    answers = ask(rc=3)
    assert [n for n, q in answers.items() if not q["equal"]] == ["rows"] and answers["rows"]["difference"] == "row 1, n by -0.2 %", answers
    assert ask("--show-data", rc=3)["rows"]["difference"] == "row 1, n: 1000, 998"
    out = t.run("verify", *t.ends(), "--queries", f).expect(3)
    assert "DIFFERENT" in out.out and "1 of 3 queries differ, rows among them" in out.err, out
    # tables as well, when they are named; a difference in them counts though all answers agree
    g = t.write("g.yaml", "- {name: one, sql: select 1}\n")
    result = t.run("verify", *t.ends(), "--queries", g, "-t", "narrow", "--level", "source", "--json").expect(3).json
    assert result["queries"]["equal"] and not result["equal"] and result["tables"][0]["missing"] == 2, result


@story()
def queries_that_fail_write_or_last_too_long_are_verdicts_and_leave_nothing(t):
    data.narrow(t, 10)
    f = t.write("q.yaml", "- {name: writes, sql: 'insert into narrow values (-1, 1, 1, 1)'}\n- {name: two, sql: 'select 1; select 2'}\n"
                "- {name: long, sql: 'select pg_sleep(20)'}\n- {name: empty, sql: 'select 1 where false'}\n- {name: rows, source: 'select generate_series(1, 3)', target: 'select 1'}\n")
    result = t.run("verify", *t.ends(), "--queries", f, "--json", "--statement-timeout", "1s").expect(3).json
    q = {x["name"]: x for x in result["queries"]["pairs"]}
    assert "read-only" in q["writes"]["error"] and "multiple commands" in q["two"]["error"] and "timeout" in q["long"]["error"], q
    assert q["empty"]["equal"] and q["rows"]["difference"] == "3 rows, 1" and t.source.int("select count(*) from narrow") == 10, q
    # what cannot be asked is no difference
    said = t.run("verify", *t.ends(), "--json", "--queries", t.write("f.yaml", "- {name: typo, sql: 'selec 1'}\n- {name: ok, sql: select 1}")).expect(1).json
    assert said["state"] == "failed" and not said["equal"] and "1 of 2 queries could not be answered, typo" in said["error"]["message"], said
    for text in ("- {name: x}", "- {sql: select 1}", "queries: 5", "- {name: x, sql: select 1, tolerence: 3}", "- {name: x, sql: a, source: b, target: c}",
                 "- {name: x, sql: select 1}\n- {name: x, sql: select 2}", "- {name: x, sql: select 1, tolerance: much}"):
        t.run("verify", *t.ends(), "--queries", t.write("bad.yaml", text)).expect(2)
    t.run("verify", *t.ends(), "-t", "narrow", "--every", "1s", "--for", "1m").expect(2)


@story()
def rounds_of_queries_leave_a_history_in_log_and_ledger(t):
    data.narrow(t, 100)
    t.copy("-t", "narrow").expect(0)
    log = os.path.join(t.directory, "history")
    f = t.write("q.yaml", "- {name: rows, sql: 'select count(*) from narrow'}\n")
    run = t.mover.start("verify", *t.ends(), "--queries", f, "--every", "300ms", "--for", "2s", "--json", "--log-format", "json", "--log-file", log)
    t.target.query("select pg_sleep(0.8); delete from narrow where id = 1")
    result = run.wait().expect(3).json
    lines = [json.loads(x) for x in open(log)]
    lines = [x for x in lines if x["event"] == "query"]
    assert result["queries"]["rounds"] == len(lines) >= 3, (result, lines)
    assert 0 < result["queries"]["pairs"][0]["differing"] <= len(lines) and "differs" in lines[-1]["message"], lines
    # the ledger has them for whoever asks it, of this job or of none
    t.run("verify", *t.ends(), "--queries", f, "-t", "narrow", "--show-data", "--json").expect(3)
    t.run("verify", *t.ends(), "--queries", f, "-t", "narrow", "--dry-run", "--json").expect(3)
    t.target.query("set role none; create role looker2 login; grant select on narrow to looker2")
    try:
        t.run("verify", "-s", t.source.dsn, "-d", t.target.dsn.replace("user=tester", "user=looker2"), "--queries", f).expect(3)
    finally:
        t.target.query("drop owned by looker2; drop role looker2")
    history = t.status()["queries"]
    assert len(history) == 1 and history[0]["rounds"] == len(lines) + 1 and history[0]["last_verdict"] == "differs", history
    assert history[0]["differing"] == result["queries"]["pairs"][0]["differing"] + 1 and history[0]["trouble"].endswith("-1 %"), history
    assert "rows" in t.run("status", "-d", t.target.dsn).expect(0, "not equal").out
    page = t.run("report", "-d", t.target.dsn, "-o", "-").expect(0).out
    assert "<h2>Queries</h2>" in page and "by -1 %" in page and "100, 99" not in page, page
    t.run("clean", "-d", t.target.dsn, "--yes").expect(0)
    assert t.target.one("select to_regnamespace('pghaul') is null") == "t"
