"""Sums of columns, reckoned by both servers."""

from story import story


@story()
def sums_are_exact_whatever_the_order_and_differences_are_named(t):
    t.both("create table m (id int primary key, n numeric, f float8, r real, i interval, at timestamptz, d date, m money, txt text, part int[])")
    t.source.query("insert into m select i, i / 7.0, i / 7.0, -i, i * interval '1 min', now() + i * interval '1 h', current_date + i, i, i::text, "
                   "'{1}' from generate_series(1, 3000) i; insert into m values (-1, null, 'NaN', '-0'), (-2, 1.50, 'Infinity', '-Infinity'), (-3, 1e30, 1e300, 0)")
    t.copy("-t", "m").expect(0)
    t.target.query("create table n as select * from m order by f, n; truncate m; insert into m select * from n; update m set n = 1.5 where id = -2; drop table n")

    def sums(*args, rc=0):
        result = t.run("verify", *t.ends(), "-t", "m", "--sums", "--level", "source", "--columns", "id,f,r,i,at,d,m,txt,n", "--json", *args).expect(rc).json
        return result["sums"], {(s["column"], s["property"]): s for s in result["sums"]["figures"] if not s["equal"]}
    all_of_them, differing = sums(rc=3)  # the bytes of 1.5 and 1.50 differ, the sums do not
    assert all_of_them["equal"] and not differing, differing
    assert {s["property"] for s in all_of_them["figures"] if s["column"] == "n"} == {"nulls", "sum", "min", "max"}
    rows = [s for s in all_of_them["figures"] if s["column"] is None]
    assert rows[0]["source"] == "3003" and not [s for s in all_of_them["figures"] if "txt" == s["column"]]
    t.target.query("update m set n = n + 0.0001 where id = 5; update m set f = null where id = 6; update m set at = 'infinity' where id = 7; "
                   "update m set i = i + interval '1 s' where id = 8; update m set r = 'NaN' where id = -2")
    _, differing = sums(rc=3)
    assert set(differing) == {("n", "sum"), ("f", "sum"), ("f", "nulls"), ("at", "max"), ("i", "sum"), ("r", "min"), ("r", "max")}, differing
    assert "source" not in differing["at", "max"] and differing["f", "nulls"]["source"] == "0" and differing["f", "nulls"]["target"] == "1", differing
    _, differing = sums("--show-data", rc=3)
    assert differing["at", "max"]["target"] == "infinity", differing
    out = t.run("verify", *t.ends(), "-t", "m", "--sums").expect(3).out
    assert "sums: " in out and "public.m.at: max differs" in out, out
