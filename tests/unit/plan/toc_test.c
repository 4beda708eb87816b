#include "unit.h"

#include <stdlib.h>

#include "plan/toc.h"

static struct ph_arena arena;

static const char *const schemas[] = {"s1", "odd", "odd schema"};
static const char *const roles[] = {"tester", "a b"};
static const struct ph_toc_names names = {schemas, roles, 3, 2};

static struct ph_toc parsed(const char *list)
{
    struct ph_toc toc;
    ph_toc_parse(&toc, &arena, list, &names);
    return toc;
}

static struct ph_toc_entry entry(const char *line)
{
    struct ph_toc toc = parsed(line);
    assert_int_equal(toc.n, 1);
    assert_string_equal(toc.items[0].line, line);
    return toc.items[0];
}

TEST(a_line_is_taken_apart)
{
    struct ph_toc_entry e = entry("3323; 2606 16392 CONSTRAINT s1 t t_pkey tester");
    assert_int_equal(e.catalog, 2606);
    assert_int_equal(e.oid, 16392);
    assert_string_equal(e.kind, "CONSTRAINT");
    assert_string_equal(e.schema, "s1");
    assert_string_equal(e.tag, "t t_pkey");
    assert_string_equal(e.owner, "tester");
}

TEST(the_longest_kind_wins)
{
    assert_string_equal(entry("1; 0 0 INDEX ATTACH s1 p1_pkey tester").kind, "INDEX ATTACH");
    assert_string_equal(entry("1; 0 0 ACL s1 TABLE t tester").kind, "ACL");
    assert_string_equal(entry("1; 1 1 FK CONSTRAINT s1 t f tester").kind, "FK CONSTRAINT");
    assert_string_equal(entry("1; 1 1 MATERIALIZED VIEW s1 m tester").kind, "MATERIALIZED VIEW");
    assert_string_equal(entry("1; 1 1 PUBLICATION TABLE s1 p t tester").kind, "PUBLICATION TABLE");
    assert_string_equal(entry("1; 1 1 EVENT TRIGGER - e tester").kind, "EVENT TRIGGER");
    assert_string_equal(entry("1; 1 1 NOVELTY s1 e tester").kind, "NOVELTY");
}

TEST(names_may_hold_blanks)
{
    struct ph_toc_entry e = entry("1; 1259 7 TABLE odd schema my table a b");
    assert_string_equal(e.schema, "odd schema");
    assert_string_equal(e.tag, "my table");
    assert_string_equal(e.owner, "a b");
    e = entry("1; 1259 7 TABLE odd table tester");
    assert_string_equal(e.schema, "odd");
    assert_string_equal(e.tag, "table");
}

TEST(a_schema_or_an_owner_may_be_missing)
{
    struct ph_toc_entry e = entry("2; 3079 16405 EXTENSION - hstore ");
    assert_null(e.schema);
    assert_string_equal(e.tag, "hstore");
    assert_string_equal(e.owner, "");
}

TEST(comments_and_blank_lines_are_no_entries)
{
    assert_int_equal(parsed("; Archive created\n;\n\n1; 1259 7 TABLE s1 t tester\n").n, 1);
    assert_int_equal(parsed("").n, 0);
    assert_int_equal(parsed("garbage\n").n, 0);
}

TEST(people_see_kind_and_name)
{
    struct ph_toc_entry e = entry("1; 1 1 FK CONSTRAINT s1 t f tester");
    assert_string_equal(ph_toc_shown(&arena, &e), "fk constraint s1.t f");
    e = entry("2; 3079 16405 EXTENSION - hstore ");
    assert_string_equal(ph_toc_shown(&arena, &e), "extension hstore");
}

TEST(what_people_count_is_counted)
{
    struct ph_toc a = parsed("1; 1259 7 TABLE s1 t tester\n2; 0 0 COMMENT s1 TABLE t tester\n"
                             "3; 1259 8 TABLE s1 u tester\n4; 0 0 ACL s1 TABLE t tester\n");
    struct ph_toc b = parsed("5; 1259 9 INDEX s1 i tester\n6; 0 0 INDEX ATTACH s1 i tester\n");
    const struct ph_toc *const both[] = {&a, &b};
    char *counts = ph_toc_counts(both, 2);
    assert_string_equal(counts, "{\"tables\":2,\"indexes\":1}");
    free(counts);
}

int main(void)
{
    int rc = RUN(cmocka_unit_test(a_line_is_taken_apart), cmocka_unit_test(the_longest_kind_wins),
                 cmocka_unit_test(names_may_hold_blanks),
                 cmocka_unit_test(a_schema_or_an_owner_may_be_missing),
                 cmocka_unit_test(comments_and_blank_lines_are_no_entries),
                 cmocka_unit_test(people_see_kind_and_name),
                 cmocka_unit_test(what_people_count_is_counted));
    ph_arena_fini(&arena);
    return rc;
}
