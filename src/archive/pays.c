#include "archive/pays.h"

/* Nanoseconds a byte. No compressor is so fast that it would pay below that. */
static const double no_waiting = 0.1;

static void enter(struct ph_pays *pays, enum ph_pays_stage stage, uint32_t length)
{
    pays->stage = stage;
    pays->left = pays->length = length;
    pays->raw = pays->stored = pays->cpu_ns = pays->waited = 0;
}

void ph_pays_begin(struct ph_pays *pays, uint64_t waited_ns)
{
    pays->waited_at = waited_ns;
    if (pays->length > 0)
        return;
    pays->span = PH_PAYS_STAGE;
    enter(pays, PH_PAYS_STORE, PH_PAYS_STAGE);
}

bool ph_pays_ask(struct ph_pays *pays, enum ph_compress policy)
{
    if (policy == PH_COMPRESS_NEVER)
        return false;
    if (policy == PH_COMPRESS_PAYS && pays->stage != PH_PAYS_COMPRESS)
        return pays->stage == PH_PAYS_TEST;
    if (pays->rest == 0)
        return true;
    pays->rest--;
    return false;
}

/* Blocks that do not shrink come in rows: stretches of images, of random keys. */
static void note_dull(struct ph_pays *pays, bool shrank)
{
    pays->dull = shrank ? 0 : pays->dull + 1;
    if (pays->dull < PH_PAYS_DULL)
        return;
    pays->rest = PH_PAYS_REST;
    pays->dull = PH_PAYS_DULL - 1; /* after the rest, one look is enough */
}

/* Whether what was saved would have waited longer than saving it took. */
static bool pays_at(const struct ph_pays *pays, double wait_per_byte)
{
    double saved = pays->stored < pays->raw ? (double)(pays->raw - pays->stored) : 0;
    return saved * wait_per_byte > (double)pays->cpu_ns;
}

static void next_stage(struct ph_pays *pays)
{
    double wait = pays->stored ? (double)pays->waited / (double)pays->stored : 0;
    bool it_pays = false;
    switch (pays->stage) {
    case PH_PAYS_STORE:
        pays->wait_per_byte = wait;
        if (wait > no_waiting) {
            enter(pays, PH_PAYS_TEST, PH_PAYS_TRIAL);
            return;
        }
        break;
    case PH_PAYS_TEST:
        it_pays = pays_at(pays, pays->wait_per_byte);
        break;
    case PH_PAYS_COMPRESS:
        it_pays = pays_at(pays, wait);
        if (it_pays)
            break;
        /* It may be due to compressing that nothing waits: look, but ever more seldom. */
        pays->span = pays->span < PH_PAYS_MOST ? pays->span * 2 : PH_PAYS_MOST;
        enter(pays, PH_PAYS_STORE, PH_PAYS_STAGE);
        return;
    }
    if (!it_pays)
        pays->span = PH_PAYS_STAGE;
    enter(pays, it_pays ? PH_PAYS_COMPRESS : PH_PAYS_STORE, it_pays ? pays->span : PH_PAYS_STAGE);
}

void ph_pays_note(struct ph_pays *pays, const struct ph_pays_block *block)
{
    uint64_t waited = block->waited_ns - pays->waited_at;
    pays->waited_at = block->waited_ns;
    if (block->tried)
        note_dull(pays, block->stored < block->raw);
    bool counts = pays->stage == PH_PAYS_TEST || pays->left <= pays->length / 2;
    if (counts) {
        pays->raw += block->raw;
        pays->stored += block->stored;
        pays->cpu_ns += block->cpu_ns;
        pays->waited += waited;
    }
    if (--pays->left == 0)
        next_stage(pays);
}
