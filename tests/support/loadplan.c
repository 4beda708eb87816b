/* For stories: the plan of loading an archive, without an archive's files.
 *
 *     loadplan OPTIONS-OF-EXTRACT -- OPTIONS-OF-LOAD
 *
 * Plans an extract of -s, describes the archive that it would make as if it were sealed, and plans to load
 * that into the second -d. Prints the plan as `plan --json` does, with its shards; errors go to standard
 * error, with the command line's exit statuses.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/manifest.h"
#include "cli/jobfile.h"
#include "cli/opts.h"
#include "cli/render.h"
#include "plan/catalog_json.h"
#include "plan/plan.h"

static bool parse(struct ph_settings *settings, struct ph_job_spec *spec, int argc, char **argv,
                  struct ph_err *err)
{
    struct ph_command_line line;
    ph_settings_init(settings);
    return ph_opts_parse(settings, &line, argc, argv, err) &&
           (!settings->file || ph_jobfile_read(settings, settings->file, err)) &&
           ph_settings_spec(settings, spec, true, err);
}

static bool connect(struct ph_conn **out, const char *side, const char *text, const char *encoding,
                    struct ph_err *err)
{
    struct ph_dsn *dsn = NULL;
    struct ph_conn_opts opts = {.application_name = "loadplan", .encoding = encoding};
    if (!ph_dsn_parse(&dsn, side, text, err))
        return false;
    opts.dsn = dsn; /* kept until the end of the program */
    return ph_conn_open(out, &opts, err);
}

/* As if every shard had been written: ten rows each, and the bytes that were expected. */
static void seal(struct ph_plan *plan, struct ph_archive *archive)
{
    archive->set = "00112233445566778899aabbccddeeff";
    for (int i = 0; i < archive->n_shards; i++) {
        struct ph_archive_shard *shard = &archive->shards[i];
        shard->file = ph_arena_printf(&plan->arena, "s%06d.lz4", (int)shard->id);
        shard->snapshot = 1;
        shard->tally.rows = 10;
        shard->tally.bytes = (uint64_t)shard->weight;
    }
}

/* What is read and written again is the same text. */
static bool comes_back(const char *text)
{
    struct ph_arena arena = {0};
    struct ph_catalog catalog;
    struct ph_err err;
    bool same = ph_catalog_json_read(&catalog, &arena, text, &err) &&
                !strcmp(ph_catalog_json(&catalog), text);
    ph_arena_fini(&arena);
    return same;
}

static json_t *shards_json(const struct ph_plan *plan)
{
    json_t *list = json_array();
    for (int i = 0; i < plan->n_shards; i++) {
        const struct ph_shard *s = &plan->shards[i];
        json_array_append_new(list, json_pack("{s:I, s:i, s:s, s:s, s:I, s:i, s:s?}", "shard",
                                              (json_int_t)s->id, "tab", s->tab, "table",
                                              s->table->source_name, "file", s->file, "weight",
                                              (json_int_t)s->weight, "snapshot", s->snapshot, "lo",
                                              plan->shard_lo[i]));
    }
    return list;
}

static void print(struct ph_plan *plan, const struct ph_plan *extract)
{
    json_t *json = ph_render_plan_json(plan);
    json_object_set_new(json, "shards", shards_json(plan));
    json_object_set_new(json, "definition", json_loads(plan->definition, 0, NULL));
    json_object_set_new(json, "extract_definition", json_loads(extract->definition, 0, NULL));
    json_object_set_new(json, "comes_back", json_boolean(comes_back(extract->catalog_json)));
    json_dumpf(json, stdout, JSON_COMPACT);
    json_decref(json);
}

static bool run(int argc, char **argv, int second, struct ph_err *err)
{
    struct ph_settings from, to;
    struct ph_job_spec extract, load;
    struct ph_conn *source = NULL, *target = NULL;
    struct ph_plan *written = NULL, *plan = NULL;
    struct ph_archive archive = {0};
    extract.route = PH_ROUTE_COPY;
    if (!parse(&from, &extract, second, argv, err) ||
        !parse(&to, &load, argc - second, argv + second, err) ||
        !connect(&source, "source", from.source, NULL, err))
        return false;
    extract.route = PH_ROUTE_EXTRACT;
    bool ok = ph_plan_make(&written, &extract, source, NULL, err) &&
              ph_conn_exec(source, "BEGIN ISOLATION LEVEL REPEATABLE READ", err) &&
              ph_plan_cut(written, source, err);
    for (int i = 0; ok && i < written->n_obstacles; i++)
        ok = ph_err_set(err, PH_WRONG, "extract: %s", written->obstacles[i].text);
    if (!ok)
        return false;
    ph_plan_archive(written, &archive);
    seal(written, &archive);
    load.route = PH_ROUTE_LOAD;
    load.archive = &archive;
    load.archive_shown = "archive:/nowhere";
    if (!connect(&target, "target", to.target, archive.encoding, err) ||
        !ph_plan_make(&plan, &load, NULL, target, err) ||
        !ph_plan_adopt_shards(plan, &archive, err))
        return false;
    print(plan, written);
    ph_plan_free(plan);
    ph_plan_free(written);
    ph_conn_close(source);
    ph_conn_close(target);
    ph_settings_fini(&from);
    ph_settings_fini(&to);
    return true;
}

int main(int argc, char **argv)
{
    struct ph_err err = {0};
    int second = 1;
    while (second < argc && strcmp(argv[second], "--") != 0)
        second++;
    if (second < argc && run(argc, argv, second, &err))
        return 0;
    fprintf(stderr, "%s\nhint: %s\n", err.text, err.hint);
    return ph_err_exit_status(err.code);
}
