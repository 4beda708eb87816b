/* The text that Prometheus reads. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "cli/metrics.h"

static char *render(const struct ph_metrics_table *tables, int n)
{
    static struct ph_buf text;
    ph_buf_clear(&text);
    struct ph_metrics_values v = {.job = "nightly",
                                  .running = true,
                                  .state = "running",
                                  .rows = 12345678901234,
                                  .stages = {[PH_STAGE_TARGET_WAIT] = 1.5},
                                  .eta_s = -1,
                                  .tables = tables,
                                  .n_tables = n};
    ph_metrics_render(&text, &v);
    return text.data;
}

TEST(figures_have_their_job_and_large_numbers_lose_nothing)
{
    char *text = render(NULL, 0);
    assert_contains(text, "pghaul_up{job=\"nightly\"} 1\n");
    assert_contains(text, "pghaul_rows{job=\"nightly\"} 12345678901234\n");
    assert_contains(text,
                    "pghaul_worker_seconds_total{job=\"nightly\",stage=\"target_wait\"} 1.5\n");
    assert_lacks(text, "eta_seconds");
}

TEST(names_of_tables_cannot_break_out_of_their_label)
{
    const struct ph_metrics_table table = {.source = "a\"b\\c\nd\xff", .rows = 7};
    assert_contains(render(&table, 1), "pghaul_table_rows{job=\"nightly\",table=\"a\\\"b\\\\c\\nd"
                                       "\ufffd\"} 7\n");
}

TEST(each_figure_is_explained_once_and_before_its_values)
{
    const struct ph_metrics_table tables[] = {{.source = "a"}, {.source = "b"}};
    char *text = render(tables, 2), name[80] = "";
    int values = 0;
    for (char *line = strtok_r(text, "\n", &text); line; line = strtok_r(NULL, "\n", &text)) {
        if (!strncmp(line, "# HELP ", 7))
            continue;
        if (!strncmp(line, "# TYPE ", 7)) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            continue;
        }
        assert_int_equal(strncmp(line, name, strlen(name)), 0);
        assert_int_equal(line[strlen(name)], '{');
        values++;
    }
    assert_true(values > 30);
}

int main(void)
{
    return RUN(cmocka_unit_test(figures_have_their_job_and_large_numbers_lose_nothing),
               cmocka_unit_test(names_of_tables_cannot_break_out_of_their_label),
               cmocka_unit_test(each_figure_is_explained_once_and_before_its_values));
}
