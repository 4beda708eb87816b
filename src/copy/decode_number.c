/* Numbers that are exact: booleans, integers and their kin, numeric. */
#include "copy/decode_value.h"

size_t ph_value_put_digits(char *to, uint64_t n)
{
    char back[PH_VALUE_DIGITS];
    size_t len = 0;
    do {
        back[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    for (size_t i = 0; i < len; i++)
        to[i] = back[len - 1 - i];
    return len;
}

void ph_value_add_uint(struct ph_buf *out, uint64_t n)
{
    char text[PH_VALUE_DIGITS];
    ph_buf_addn(out, text, ph_value_put_digits(text, n));
}

void ph_value_add_int(struct ph_buf *out, int64_t n)
{
    char text[PH_VALUE_DIGITS + 1] = "-";
    size_t sign = n < 0;
    uint64_t size = sign ? 0 - (uint64_t)n : (uint64_t)n;
    ph_buf_addn(out, text, sign + ph_value_put_digits(text + sign, size));
}

bool ph_value_bool(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    unsigned v;
    if (!ph_bytes_u8(in, &v))
        return false;
    ph_buf_addc(out, v ? 't' : 'f');
    return true;
}

bool ph_value_int2(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    uint16_t v;
    if (!ph_bytes_u16(in, &v))
        return false;
    ph_value_add_int(out, (int16_t)v);
    return true;
}

bool ph_value_int4(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int32_t v;
    if (!ph_bytes_i32(in, &v))
        return false;
    ph_value_add_int(out, v);
    return true;
}

bool ph_value_int8(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int64_t v;
    if (!ph_bytes_i64(in, &v))
        return false;
    ph_value_add_int(out, v);
    return true;
}

bool ph_value_uint4(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    uint32_t v;
    if (!ph_bytes_u32(in, &v))
        return false;
    ph_value_add_uint(out, v);
    return true;
}

bool ph_value_uint8(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    uint64_t v;
    if (!ph_bytes_u64(in, &v))
        return false;
    ph_value_add_uint(out, v);
    return true;
}

/* A numeric is digits of base 10,000; the first stands for 10,000 to the power of `weight`. */
struct numeric {
    const unsigned char *digits; /* big-endian 16 bit */
    int n, weight, scale;
};

/* The digit that stands for 10,000 to the power of `power`, as four characters. */
static void put_group(const struct numeric *num, int power, char to[static 4])
{
    int i = num->weight - power, digit = 0;
    if (i >= 0 && i < num->n)
        digit = num->digits[2 * i] << 8 | num->digits[2 * i + 1];
    to[0] = (char)('0' + digit / 1000);
    to[1] = (char)('0' + digit / 100 % 10);
    to[2] = (char)('0' + digit / 10 % 10);
    to[3] = (char)('0' + digit % 10);
}

static void add_numeric(struct ph_buf *out, const struct numeric *num)
{
    char group[4];
    bool begun = false;
    for (int power = num->weight; power >= 0; power--) {
        put_group(num, power, group);
        size_t skip = 0;
        while (!begun && skip < sizeof group && group[skip] == '0')
            skip++;
        begun = begun || skip < sizeof group;
        ph_buf_addn(out, group + skip, sizeof group - skip);
    }
    if (!begun)
        ph_buf_addc(out, '0');
    if (num->scale > 0)
        ph_buf_addc(out, '.');
    for (int left = num->scale, power = -1; left > 0; left -= 4, power--) {
        put_group(num, power, group);
        ph_buf_addn(out, group, left < 4 ? (size_t)left : sizeof group);
    }
}

bool ph_value_numeric(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    enum { PLUS = 0, MINUS = 0x4000, NAN_ = 0xC000, INFINITE = 0xD000, MINUS_INFINITE = 0xF000 };
    uint16_t n, weight, sign, scale;
    if (!ph_bytes_u16(in, &n) || !ph_bytes_u16(in, &weight) || !ph_bytes_u16(in, &sign) ||
        !ph_bytes_u16(in, &scale))
        return false;
    struct numeric num = {.n = n, .weight = (int16_t)weight, .scale = scale};
    if (!ph_bytes_take(in, (size_t)n * 2, &num.digits))
        return false;
    for (int i = 0; i < num.n; i++)
        if ((num.digits[2 * i] << 8 | num.digits[2 * i + 1]) > 9999)
            return ph_bytes_bad(in, "a digit of it is none");
    if (num.scale > 0x3FFF)
        return ph_bytes_bad(in, "its scale is impossible");
    if (sign == NAN_)
        ph_buf_add(out, "NaN");
    else if (sign == INFINITE)
        ph_buf_add(out, "Infinity");
    else if (sign == MINUS_INFINITE)
        ph_buf_add(out, "-Infinity");
    else if (sign != PLUS && sign != MINUS)
        return ph_bytes_bad(in, "its sign is impossible");
    else {
        if (sign == MINUS)
            ph_buf_addc(out, '-');
        add_numeric(out, &num);
    }
    return true;
}
