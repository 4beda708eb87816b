#include "cli/jobfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "cli/cli.h"
#include "cli/dsntext.h"
#include "cli/names.h"
#include "cli/opts.h"

/* libyaml's emitter, one event a call. `ok` turns false with the first that fails, so that nobody
 * need look at each. */
struct writer {
    struct ph_settings *s;
    yaml_emitter_t emitter;
    bool ok;
};

static int append(void *arg, unsigned char *bytes, size_t n)
{
    ph_buf_addn(arg, (const char *)bytes, n);
    return 1;
}

static void emit(struct writer *w, int made, yaml_event_t *event)
{
    w->ok = w->ok && made && yaml_emitter_emit(&w->emitter, event);
}

static void scalar(struct writer *w, const char *text)
{
    /* What YAML would read as something else than a text keeps its quotes. */
    static const char *const words[] = {"", "~", "null", "true", "false", "yes", "no", "on", "off"};
    bool quote = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        quote |= !strcasecmp(text, words[i]);
    yaml_event_t event;
    emit(w,
         yaml_scalar_event_initialize(
             &event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1,
             quote ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE),
         &event);
}

static void plain(struct writer *w, const char *key, const char *text)
{
    yaml_event_t event;
    scalar(w, key);
    emit(w,
         yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                      (int)strlen(text), 1, 0, YAML_PLAIN_SCALAR_STYLE),
         &event);
}

static void begin_map(struct writer *w)
{
    yaml_event_t event;
    emit(w, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE),
         &event);
}

static void end_map(struct writer *w)
{
    yaml_event_t event;
    emit(w, yaml_mapping_end_event_initialize(&event), &event);
}

static void begin_list(struct writer *w, yaml_sequence_style_t style)
{
    yaml_event_t event;
    emit(w, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style), &event);
}

static void end_list(struct writer *w)
{
    yaml_event_t event;
    emit(w, yaml_sequence_end_event_initialize(&event), &event);
}

static void pair(struct writer *w, const char *key, const char *text)
{
    scalar(w, key);
    scalar(w, text);
}

/* A column as ph_names_one() reads it. */
static const char *column_name(struct writer *w, const char *name)
{
    if (*name != '"')
        return name;
    struct ph_buf text = {0};
    ph_buf_add(&text, "\"");
    for (const char *p = name; *p; p++)
        ph_buf_add(&text, *p == '"' ? "\"\"" : (const char[]){*p, '\0'});
    ph_buf_add(&text, "\"");
    const char *result = ph_arena_strdup(&w->s->arena, ph_buf_text(&text));
    ph_buf_fini(&text);
    return result;
}

/* Tables
 * --------------------------------------------------------------------------------------------------------
 */

static const char *expression_of(const struct ph_request *request, const char *column)
{
    for (int i = 0; i < request->n_mappings; i++)
        if (!strcmp(request->mappings[i].column, column))
            return request->mappings[i].expression;
    return NULL;
}

static void write_columns(struct writer *w, const struct ph_request *request)
{
    if (request->n_columns == 0 && request->n_mappings == 0)
        return;
    scalar(w, "columns");
    if (request->n_columns == 0) {
        begin_map(w);
        for (int i = 0; i < request->n_mappings; i++)
            pair(w, column_name(w, request->mappings[i].column), request->mappings[i].expression);
        end_map(w);
        return;
    }
    begin_list(w, YAML_BLOCK_SEQUENCE_STYLE);
    for (int i = 0; i < request->n_columns; i++) {
        const char *expression = expression_of(request, request->columns[i]);
        if (expression) {
            begin_map(w);
            pair(w, column_name(w, request->columns[i]), expression);
            end_map(w);
        } else {
            scalar(w, column_name(w, request->columns[i]));
        }
    }
    end_list(w);
}

static void write_request(struct writer *w, const struct ph_request *request)
{
    bool bare = !request->target && !request->filter && !request->n_columns &&
                !request->n_mappings && !request->n_key && request->split == PH_SPLIT_AUTO;
    if (bare) {
        scalar(w, request->pattern);
        return;
    }
    begin_map(w);
    pair(w, "table", request->pattern);
    if (request->target)
        pair(w, "target", request->target);
    if (request->filter)
        pair(w, "filter", request->filter);
    write_columns(w, request);
    if (request->n_key) {
        scalar(w, "key");
        begin_list(w, YAML_FLOW_SEQUENCE_STYLE);
        for (int i = 0; i < request->n_key; i++)
            scalar(w, column_name(w, request->key[i]));
        end_list(w);
    }
    if (request->split != PH_SPLIT_AUTO)
        pair(w, "split", ph_split_name(request->split));
    end_map(w);
}

/* Whether the tables came from patterns that say nothing but which: then their names can stand for
 * the patterns. Not with --create, where --all and --schema mean more than tables. */
static bool by_pattern(const struct ph_job_spec *spec)
{
    bool wild = spec->all || spec->n_schemas > 0;
    if (wild && spec->create)
        return false;
    for (int i = 0; i < spec->n_requests; i++) {
        const struct ph_request *r = &spec->requests[i];
        wild |= ph_names_is_wild(r->pattern);
        if (r->target || r->filter || r->n_columns || r->n_mappings || r->n_key || r->split)
            return false;
    }
    return wild;
}

static bool root_is_known(const struct ph_plan *plan, int upto)
{
    for (int i = 0; i < upto; i++)
        if (!strcmp(plan->tables[i].root_source, plan->tables[upto].root_source))
            return true;
    return false;
}

static void write_tables(struct writer *w, const struct ph_job_spec *spec,
                         const struct ph_plan *plan)
{
    bool names = plan && plan->n_tables > 0 && by_pattern(spec);
    if (!names && spec->n_requests == 0)
        return;
    scalar(w, "tables");
    begin_list(w, YAML_BLOCK_SEQUENCE_STYLE);
    for (int i = 0; !names && i < spec->n_requests; i++)
        write_request(w, &spec->requests[i]);
    for (int i = 0; names && i < plan->n_tables; i++)
        if (!plan->tables[i].objects && !root_is_known(plan, i))
            scalar(w, plan->tables[i].root_source);
    end_list(w);
}

/* Everything else, by the option table
 * -------------------------------------------------------------------------- */

static void write_words(struct writer *w, const struct ph_option *o)
{
    const struct ph_words *words = (const void *)((const char *)w->s + o->field);
    scalar(w, o->name);
    begin_list(w, YAML_BLOCK_SEQUENCE_STYLE);
    for (int i = 0; i < words->n; i++)
        scalar(w, words->item[i]);
    end_list(w);
}

/* Options that say how a job is, not what this one call shows; tables and what goes with a table
 * are written there. */
static bool is_of_the_job(const struct ph_option *o, bool names)
{
    static const char *const in_tables[] = {"table", "where", "columns", "key"};
    static const char *const patterns[] = {"all", "schema", "exclude-table", "exclude-schema"};
    static const char *const of_the_call[] = {"dry-run", "join", "again", "show-data"};
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(o->name, in_tables[i]) || !strcmp(o->name, of_the_call[i]) ||
            (names && !strcmp(o->name, patterns[i])))
            return false;
    return !(o->flags & (PH_OPT_NOT_FILE | PH_OPT_SECRET)) && o->section <= PH_SECTION_GUARD;
}

static void write_options(struct writer *w, bool names)
{
    for (size_t i = 0; i < ph_n_options; i++) {
        const struct ph_option *o = &ph_options[i];
        if (w->s->origin[i] == PH_FROM_DEFAULT || !is_of_the_job(o, names))
            continue;
        if (o->type == PH_OPT_WORDS)
            write_words(w, o);
        else if (o->type == PH_OPT_FLAG)
            plain(w, o->name, *((const bool *)((const char *)w->s + o->field)) ? "true" : "false");
        else if (o->type == PH_OPT_TEXT)
            pair(w, o->name, w->s->raw[i]);
        else
            plain(w, o->name, w->s->raw[i]);
    }
}

/* Writes a side's connection string without its password; the comment goes before everything else.
 */
static void write_side(struct writer *w, struct ph_buf *head, const char *key, const char *text)
{
    if (!text)
        return;
    if (ph_cli_archive(text)) {
        pair(w, key, text);
        return;
    }
    struct ph_dsn *dsn = NULL;
    const char *clean = ph_dsntext_without_password(&w->s->arena, text);
    bool known = clean && ph_dsn_parse(&dsn, key, clean, NULL) && !ph_dsn_has_password(dsn);
    ph_dsn_free(dsn);
    if (!known)
        ph_buf_addf(head,
                    "# The %s is left out: it holds a password that cannot be taken out safely.\n",
                    key);
    else if (strcmp(clean, text) != 0)
        ph_buf_addf(head,
                    "# The %s's password is left out: use a service file, .pgpass or PGPASSWORD.\n",
                    key);
    if (known)
        pair(w, key, clean);
}

static void write_document(struct writer *w, struct ph_buf *head, const struct ph_job_spec *spec,
                           const struct ph_plan *plan)
{
    yaml_event_t event;
    bool names = plan && plan->n_tables > 0 && by_pattern(spec);
    emit(w, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);
    emit(w, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event);
    begin_map(w);
    write_side(w, head, "source", w->s->source);
    write_side(w, head, "target", w->s->target);
    write_options(w, names);
    write_tables(w, spec, plan);
    end_map(w);
    emit(w, yaml_document_end_event_initialize(&event, 1), &event);
    emit(w, yaml_stream_end_event_initialize(&event), &event);
}

bool ph_jobfile_write(struct ph_settings *s, const struct ph_job_spec *spec,
                      const struct ph_plan *plan, struct ph_buf *out, struct ph_err *err)
{
    struct writer w = {.s = s, .ok = true};
    struct ph_buf body = {0}, head = {0};
    ph_buf_add(&head, "# A job of pghaul: pghaul plan -f FILE, pghaul copy -f FILE\n");
    if (plan && plan->job_name)
        ph_buf_addf(&head, "# in the ledger: %s\n", plan->job_name);
    if (!yaml_emitter_initialize(&w.emitter))
        return ph_err_nomem(err);
    yaml_emitter_set_output(&w.emitter, append, &body);
    yaml_emitter_set_unicode(&w.emitter, 1);
    yaml_emitter_set_width(&w.emitter, -1);
    write_document(&w, &head, spec, plan);
    bool ok = w.ok;
    if (ok) {
        ph_buf_add(out, ph_buf_text(&head));
        ph_buf_add(out, ph_buf_text(&body));
    } else {
        ph_err_set(err, PH_FAILED, "cannot write the job as YAML: %s",
                   w.emitter.problem ? w.emitter.problem : "out of memory");
    }
    yaml_emitter_delete(&w.emitter);
    ph_buf_fini(&body);
    ph_buf_fini(&head);
    return ok;
}
