/* What was asked of a server can be asked again when it is not there, and is then what it was. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "pg/witness.h"

static const char document[] =
    "{\"format\":\"pghaul schema facts\",\"version\":1,\"texts\":\"utf-8\",\"answers\":["
    "{\"question\":\"roles\",\"columns\":1,\"rows\":[[\"bob\"],[\"Jürgen \\\"x\\\"\"]]},"
    "{\"question\":\"sequences\",\"columns\":3,\"rows\":[[\"s\",null,\"\"],[\"t\",\"-7\",\"t\"]]},"
    "{\"question\":\"nothing\",\"columns\":2,\"rows\":[]}]}\n";

static struct ph_testimony *read_text(const char *text)
{
    struct ph_testimony *answers;
    struct ph_err err;
    if (!ph_testimony_read(&answers, text, strlen(text), &err))
        fail_msg("%s", err.text);
    return answers;
}

static struct ph_rows *ask(struct ph_testimony *answers, const char *question)
{
    const struct ph_witness witness = {.answers = answers};
    struct ph_rows *rows = NULL;
    struct ph_err err;
    if (!ph_witness_query(&witness, question, "this is no SQL", &rows, &err))
        fail_msg("%s", err.text);
    return rows;
}

TEST(answers_come_back_with_their_nulls_and_their_empty_texts)
{
    struct ph_testimony *answers = read_text(document);
    struct ph_rows *rows = ask(answers, "sequences");
    assert_int_equal(ph_rows_count(rows), 2);
    assert_int_equal(ph_rows_columns(rows), 3);
    assert_null(ph_rows_get(rows, 0, 1));
    assert_string_equal(ph_rows_get(rows, 0, 2), "");
    assert_int_equal(ph_rows_int(rows, 1, 1), -7);
    assert_true(ph_rows_bool(rows, 1, 2));
    ph_rows_free(rows);
    rows = ask(answers, "sequences"); /* as often as one likes */
    assert_int_equal(ph_rows_count(rows), 2);
    ph_rows_free(rows);
    rows = ask(answers, "nothing");
    assert_int_equal(ph_rows_count(rows), 0);
    ph_rows_free(rows);
    ph_testimony_free(answers);
}

TEST(a_question_that_was_never_asked_is_an_error)
{
    struct ph_testimony *answers = read_text(document);
    const struct ph_witness witness = {.answers = answers}, nobody = {0};
    struct ph_rows *rows = NULL;
    struct ph_err err;
    assert_false(ph_witness_catalog(&witness, "indexes", "SELECT 1", &rows, &err));
    assert_contains(err.text, "\"indexes\"");
    assert_null(rows);
    assert_false(ph_witness_query(&nobody, "roles", "SELECT 1", &rows, &err));
    assert_string_equal(ph_witness_shown(&witness), "archive");
    ph_testimony_free(answers);
}

TEST(what_is_written_is_what_was_read)
{
    struct ph_testimony *answers = read_text(document);
    struct ph_buf text = {0};
    struct ph_err err;
    assert_true(ph_testimony_text(answers, &text, &err));
    assert_string_equal(text.data, document);
    ph_buf_fini(&text);
    ph_testimony_free(answers);
}

TEST(names_that_are_no_utf8_come_back_byte_for_byte)
{
    static const char latin1[] =
        "{\"format\":\"pghaul schema facts\",\"version\":1,\"texts\":\"bytes\",\"answers\":["
        "{\"question\":\"roles\",\"columns\":1,\"rows\":[[\"J\xc3\xbcrgen\"]]}]}\n";
    struct ph_testimony *answers = read_text(latin1);
    struct ph_rows *rows = ask(answers, "roles");
    assert_string_equal(ph_rows_get(rows, 0, 0), "J\xfcrgen");
    ph_rows_free(rows);
    struct ph_buf text = {0};
    struct ph_err err;
    assert_true(ph_testimony_text(answers, &text, &err));
    assert_string_equal(text.data, latin1);
    ph_buf_fini(&text);
    ph_testimony_free(answers);
}

/* The first `from` of the document is another word. */
static bool reads_with(const char *from, const char *to)
{
    char text[2 * sizeof document];
    const char *at = strstr(document, from);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - document), document, to, at + strlen(from));
    struct ph_testimony *answers = NULL;
    struct ph_err err;
    bool ok = ph_testimony_read(&answers, text, strlen(text), &err);
    assert_true(ok || err.code == PH_FAILED);
    assert_true(ok == (answers != NULL));
    ph_testimony_free(answers);
    return ok;
}

TEST(what_is_no_such_document_is_refused)
{
    assert_true(reads_with("roles", "rules"));
    assert_false(reads_with("schema facts", "archive"));
    assert_false(reads_with("\"version\":1", "\"version\":2"));
    assert_false(reads_with("\"columns\":1", "\"columns\":2"));
    assert_false(reads_with("\"columns\":1", "\"columns\":0"));
    assert_false(reads_with("\"columns\":1", "\"columns\":101"));
    assert_false(reads_with("[\"bob\"]", "[\"bob\",\"x\"]"));
    assert_false(reads_with("[\"bob\"]", "\"bob\""));
    assert_false(reads_with("[\"bob\"]", "[7]"));
    assert_false(reads_with("\"question\":\"roles\"", "\"question\":\"\""));
    assert_false(reads_with("\"question\":\"roles\"", "\"why\":1,\"question\":\"roles\""));
    assert_false(reads_with("]}]}\n", "]}]"));
    assert_false(reads_with("\"answers\":[", "\"answers\":[7,"));
}

int main(void)
{
    return RUN(cmocka_unit_test(answers_come_back_with_their_nulls_and_their_empty_texts),
               cmocka_unit_test(a_question_that_was_never_asked_is_an_error),
               cmocka_unit_test(what_is_written_is_what_was_read),
               cmocka_unit_test(names_that_are_no_utf8_come_back_byte_for_byte),
               cmocka_unit_test(what_is_no_such_document_is_refused));
}
