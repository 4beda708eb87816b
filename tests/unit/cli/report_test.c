/* The report's page, made of a history that never was. */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "cli/report.h"

/* cmocka's own works on floats. */
static void assert_near(double is, double should)
{
    assert_true(fabs(is - should) < 1e-6);
}

static struct ph_history_mover movers[] = {
    {.id = 7, .pid = 1, .host = "h<1>", .started = "t", .start = 0, .end = 10},
    {.id = 8, .pid = 2, .host = "h2", .started = "t", .start = 3610, .end = 3620, .ended = true},
};
static struct ph_history_bar bars[] = {
    {.mover = 0, .slot = 1, .from = 1, .to = 9, .shard = 1, .rows = 10, .bytes = 1000},
    {.mover = 0, .slot = 2, .from = 2, .to = 10, .shard = 2, .kind = PH_BAR_OPEN},
    {.mover = 1, .slot = 1, .from = 3611, .to = 3619, .shard = 2, .rows = 5, .bytes = 500},
};
static struct ph_history_moment moments[] = {
    {.mover = 1, .at = 3612, .event = "throttled", .text = "a </title><b> &"},
};
static struct ph_status_table table = {.source = "public.\"<script>'x'\"",
                                       .target = "public.t",
                                       .split = "block",
                                       .rows = 15,
                                       .bytes = 1500,
                                       .landed = 2};

static struct ph_history a_history(void)
{
    return (struct ph_history){.started = "2026-01-01T00:00:00Z",
                               .movers = movers,
                               .n_movers = 2,
                               .bars = bars,
                               .n_bars = 3,
                               .moments = moments,
                               .n_moments = 1};
}

static const char *page(const struct ph_history *h, const char *state)
{
    static struct ph_buf html;
    struct ph_status st = {.job = "j",
                           .state = state,
                           .mode = "append",
                           .source = "db at \xff<x>",
                           .target = "d",
                           .definition = "{\"where\":\"a < 1 & b\"}",
                           .tables = &table,
                           .n_tables = 1};
    ph_buf_clear(&html);
    ph_report_html(&html, &st, h);
    return html.data;
}

TEST(names_are_text_and_nothing_else)
{
    struct ph_history h = a_history();
    const char *html = page(&h, "completed");
    assert_contains(html, "public.&quot;&lt;script&gt;&#39;x&#39;&quot;");
    assert_contains(html, "a &lt;/title&gt;&lt;b&gt; &amp;");
    assert_contains(html, "db at \ufffd&lt;x&gt;");
    assert_contains(html, "a &lt; 1 &amp; b");
    assert_lacks(html, "<script");
    assert_lacks(html, "http://");
    assert_lacks(html, "https://");
}

TEST(a_pending_job_was_interrupted_or_has_died)
{
    struct ph_history h = a_history();
    assert_contains(page(&h, "pending"), ">interrupted<");
    h.n_movers = 1;
    h.n_bars = 2;
    h.n_moments = 0;
    assert_contains(page(&h, "pending"), ">died<");
}

TEST(a_job_of_which_nothing_is_known_has_a_page_too)
{
    struct ph_history h = {.started = ""};
    const char *html = page(&h, "failed");
    assert_contains(html, "</html>");
    assert_lacks(html, "nan");
    assert_lacks(html, "inf%");
}

TEST(the_hours_between_two_runs_are_a_narrow_gap)
{
    struct ph_axis axis;
    struct ph_history h = a_history();
    ph_axis_init(&axis, &h);
    assert_int_equal(axis.n, 2);
    assert_near(axis.length, 20.4);
    assert_near(ph_axis_place(&axis, 5) * axis.length, 5);
    assert_near(ph_axis_place(&axis, 1000) * axis.length, 10);
    assert_near(ph_axis_place(&axis, 3615) * axis.length, 15.4);
    assert_near(ph_axis_place(&axis, 9999), 1);
    for (double t = 3610; t <= 3620; t += 0.5)
        assert_near(ph_axis_time(&axis, ph_axis_place(&axis, t)), t);
    ph_axis_fini(&axis);
}

int main(void)
{
    return RUN(cmocka_unit_test(names_are_text_and_nothing_else),
               cmocka_unit_test(a_pending_job_was_interrupted_or_has_died),
               cmocka_unit_test(a_job_of_which_nothing_is_known_has_a_page_too),
               cmocka_unit_test(the_hours_between_two_runs_are_a_narrow_gap));
}
