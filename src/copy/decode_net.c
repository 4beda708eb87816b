/* Addresses: of networks, cards, WAL positions, rows and snapshots. */
#include <inttypes.h>

#include "base/feature.h"
#include "copy/decode_value.h"

static void add_ipv4(struct ph_buf *out, const unsigned char *ip)
{
    ph_buf_addf(out, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
}

/* RFC 5952 in the manner of BIND: the first of the longest runs of two or more zero words becomes "::", and an address that
 * embeds one of IPv4 shows that. */
static void add_ipv6(struct ph_buf *out, const unsigned char *ip)
{
    unsigned word[8];
    int base = -1, len = 1;
    for (int i = 0; i < 8; i++)
        word[i] = (unsigned)(ip[2 * i] << 8 | ip[2 * i + 1]);
    for (int i = 0, run = 0; i < 8; i++) {
        run = word[i] ? 0 : run + 1;
        if (run > len) {
            len = run;
            base = i - run + 1;
        }
    }
    bool embeds = base == 0 && (len == 6 || (len == 5 && word[5] == 0xFFFF));
    for (int i = 0; i < 8; i++) {
        if (base >= 0 && i >= base && i < base + len) {
            if (i == base)
                ph_buf_addc(out, ':');
            continue;
        }
        if (i)
            ph_buf_addc(out, ':');
        if (i == 6 && embeds) {
            add_ipv4(out, ip + 12);
            return;
        }
        ph_buf_addf(out, "%x", word[i]);
    }
    if (base >= 0 && base + len == 8)
        ph_buf_addc(out, ':');
}

static bool add_network(struct ph_bytes *in, struct ph_buf *out, bool always_bits)
{
    enum { IPV4 = 2, IPV6 = 3 };
    unsigned family, bits, cidr, size;
    const unsigned char *ip;
    if (!ph_bytes_u8(in, &family) || !ph_bytes_u8(in, &bits) || !ph_bytes_u8(in, &cidr) ||
        !ph_bytes_u8(in, &size))
        return false;
    if (family != IPV4 && family != IPV6)
        return ph_bytes_bad(in, "its address family is not known");
    if (size != (family == IPV4 ? 4 : 16) || bits > size * 8)
        return ph_bytes_bad(in, "its size is impossible");
    if (!ph_bytes_take(in, size, &ip))
        return false;
    if (family == IPV4)
        add_ipv4(out, ip);
    else
        add_ipv6(out, ip);
    if (always_bits || bits != size * 8)
        ph_buf_addf(out, "/%u", bits);
    return true;
}

bool ph_value_inet(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_network(in, out, false);
}

bool ph_value_cidr(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_network(in, out, true);
}

static bool add_card(struct ph_bytes *in, struct ph_buf *out, size_t n)
{
    const unsigned char *bytes;
    if (!ph_bytes_take(in, n, &bytes))
        return false;
    for (size_t i = 0; i < n; i++)
        ph_buf_addf(out, i ? ":%02x" : "%02x", bytes[i]);
    return true;
}

bool ph_value_macaddr(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_card(in, out, 6);
}

bool ph_value_macaddr8(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_card(in, out, 8);
}

bool ph_value_lsn(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    uint64_t lsn;
    if (!ph_bytes_u64(in, &lsn))
        return false;
    ph_buf_addf(out, "%" PRIX32 "/%0*" PRIX32, (uint32_t)(lsn >> 32),
                ph_feature_has(shape->version, PH_HAS_PADDED_LSN) ? 8 : 1, (uint32_t)lsn);
    return true;
}

bool ph_value_tid(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    uint32_t block;
    uint16_t offset;
    if (!ph_bytes_u32(in, &block) || !ph_bytes_u16(in, &offset))
        return false;
    ph_buf_addf(out, "(%" PRIu32 ",%u)", block, offset);
    return true;
}

/* "xmin:xmax:xip,xip" */
bool ph_value_snapshot(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int32_t n;
    uint64_t xmin, xmax, xip;
    if (!ph_bytes_i32(in, &n) || !ph_bytes_u64(in, &xmin) || !ph_bytes_u64(in, &xmax))
        return false;
    if (n < 0)
        return ph_bytes_bad(in, "its number of transactions is impossible");
    ph_buf_addf(out, "%" PRIu64 ":%" PRIu64 ":", xmin, xmax);
    for (int32_t i = 0; i < n; i++) {
        if (!ph_bytes_u64(in, &xip))
            return false;
        ph_buf_addf(out, i ? ",%" PRIu64 : "%" PRIu64, xip);
    }
    return true;
}
