/* Binary floating point as PostgreSQL 12 and later print it: the shortest digits that are read back as the same number, and
 * of those the nearest to it.
 *
 * The digits are made with exact integers of any size, by the method of Burger and Dybvig ("Printing Floating-Point Numbers
 * Quickly and Accurately", 1996). The server's algorithm (Ryu) has the same result, with one rule of its own which rules out
 * trying printf's precisions in turn: a decimal exactly half-way between two numbers is never taken, though readers that
 * round to even would get it right. So 1e23 is printed 9.999999999999999e+22 there, and here.
 *
 * Three ways lead to the digits, each exact: few_digits() for what people type, shortest_near() where all fits into 128 bits,
 * shortest_any() for the rest.
 */
#include <math.h>

#include "copy/decode_value.h"

/* The greatest product is below 2^1152: 53 bits by 10^324, and ten times that. */
enum { LIMBS = 38, MAX_DIGITS = 18 };

struct big {
    int n; /* limbs in use, the last of them not 0 */
    uint32_t limb[LIMBS];
};

static void big_set(struct big *b, uint64_t v)
{
    b->n = 0;
    for (; v; v >>= 32)
        b->limb[b->n++] = (uint32_t)v;
}

static void big_mul(struct big *b, uint32_t by)
{
    uint64_t carry = 0;
    for (int i = 0; i < b->n; i++) {
        carry += (uint64_t)b->limb[i] * by;
        b->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        b->limb[b->n++] = (uint32_t)carry;
}

static void big_shift(struct big *b, int bits)
{
    int limbs = bits / 32;
    if (bits % 32)
        big_mul(b, UINT32_C(1) << bits % 32);
    if (b->n == 0 || limbs == 0)
        return;
    memmove(b->limb + limbs, b->limb, (size_t)b->n * sizeof *b->limb);
    memset(b->limb, 0, (size_t)limbs * sizeof *b->limb);
    b->n += limbs;
}

static void big_mul_power10(struct big *b, int power)
{
    for (; power >= 9; power -= 9)
        big_mul(b, 1000000000);
    static const uint32_t small[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    if (power > 0)
        big_mul(b, small[power]);
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* a + b compared with c. */
static int big_compare_sum(const struct big *a, const struct big *b, const struct big *c)
{
    struct big sum;
    const struct big *longer = a->n >= b->n ? a : b, *shorter = a->n >= b->n ? b : a;
    uint64_t carry = 0;
    for (int i = 0; i < longer->n; i++) {
        carry += (uint64_t)longer->limb[i] + (i < shorter->n ? shorter->limb[i] : 0);
        sum.limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum.n = longer->n;
    if (carry)
        sum.limb[sum.n++] = (uint32_t)carry;
    return big_compare(&sum, c);
}

/* a -= b, which is not greater. */
static void big_subtract(struct big *a, const struct big *b)
{
    int64_t borrow = 0;
    for (int i = 0; i < a->n; i++) {
        borrow += (int64_t)a->limb[i] - (i < b->n ? (int64_t)b->limb[i] : 0);
        a->limb[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (a->n > 0 && a->limb[a->n - 1] == 0)
        a->n--;
}

/* A decimal: 0.d1d2d3... by 10 to the power of `point`. */
struct decimal {
    int n, point;
    char digit[MAX_DIGITS + 1];
};

/* The number, and half the way to its neighbours, as fractions with one denominator. */
struct interval {
    struct big value, below, above, unit;
    bool even_gaps; /* below stands for above, too */
};

static const struct big *above(const struct interval *t)
{
    return t->even_gaps ? &t->below : &t->above;
}

static void times_power10(struct interval *t, int power)
{
    big_mul_power10(&t->value, power);
    big_mul_power10(&t->below, power);
    if (!t->even_gaps)
        big_mul_power10(&t->above, power);
}

/* mantissa by 2 to the power of `exponent`; the gap to the number below is half as wide where the mantissa is the smallest of
 * its exponent. */
static void open_interval(struct interval *t, uint64_t mantissa, int exponent, bool even_gaps)
{
    int extra = even_gaps ? 1 : 2, up = exponent > 0 ? exponent : 0;
    t->even_gaps = even_gaps;
    big_set(&t->value, mantissa);
    big_shift(&t->value, up + extra);
    big_set(&t->below, 1);
    big_shift(&t->below, up);
    big_set(&t->above, 1);
    big_shift(&t->above, up + 1);
    big_set(&t->unit, 1);
    big_shift(&t->unit, extra + (exponent < 0 ? -exponent : 0));
}

/* Where the decimal point is: right, or one too small. */
static int guess_point(uint64_t mantissa, int exponent)
{
    int log2 = exponent + 63 - __builtin_clzll(mantissa);
    return (int)ceil(log2 * 0.30102999566398120 - 1e-10);
}

/* Scales so that the first digit is next, and returns the decimal point's place. */
static int find_point(struct interval *t, int point)
{
    if (point >= 0)
        big_mul_power10(&t->unit, point);
    else
        times_power10(t, -point);
    if (big_compare_sum(&t->value, above(t), &t->unit) > 0)
        return point + 1;
    times_power10(t, 1);
    return point;
}

/* The next digit; what is left of the value stays. */
static int next_digit(struct interval *t)
{
    int digit = 0;
    while (big_compare(&t->value, &t->unit) >= 0) {
        big_subtract(&t->value, &t->unit);
        digit++;
    }
    return digit;
}

/* Adds a digit. It is the last one when the digits are read back as this number as they stand (`stop`) or with the last one
 * more (`up`); when both is true the nearer is taken, and of two as near the even one. `half` compares what is left with
 * half a unit. Returns whether it was the last. */
static bool settle(struct decimal *dec, int digit, bool stop, bool up, int half)
{
    if (stop && up)
        stop = half < 0 || (half == 0 && digit % 2 == 0);
    bool end = stop || up || dec->n == MAX_DIGITS - 1;
    dec->digit[dec->n++] = (char)('0' + digit + (end && !stop && up));
    return end;
}

static void shortest_any(struct decimal *dec, uint64_t mantissa, int exponent, bool even_gaps)
{
    struct interval t;
    open_interval(&t, mantissa, exponent, even_gaps);
    dec->point = find_point(&t, guess_point(mantissa, exponent));
    for (dec->n = 0;; times_power10(&t, 1)) {
        int digit = next_digit(&t);
        bool stop = big_compare(&t.value, &t.below) < 0;
        bool up = big_compare_sum(&t.value, above(&t), &t.unit) > 0;
        int half = stop && up ? big_compare_sum(&t.value, &t.value, &t.unit) : 0;
        if (settle(dec, digit, stop, up, half))
            return;
    }
}

/* The same in 128 bits: between these exponents nothing grows beyond 2^123. */
__extension__ typedef unsigned __int128 u128;
enum { NEAR_FROM = -112, NEAR_TO = 60 };

static u128 power10(int power)
{
    u128 n = 1;
    for (; power > 0; power--)
        n *= 10;
    return n;
}

static void shortest_near(struct decimal *dec, uint64_t mantissa, int exponent, bool even_gaps)
{
    int extra = even_gaps ? 1 : 2, up_bits = exponent > 0 ? exponent : 0;
    u128 value = (u128)mantissa << (up_bits + extra);
    u128 below = (u128)1 << up_bits, above_ = even_gaps ? below : below * 2;
    u128 unit = (u128)1 << (extra + (exponent < 0 ? -exponent : 0));
    dec->point = guess_point(mantissa, exponent);
    u128 scale = power10(dec->point < 0 ? -dec->point : dec->point);
    unit *= dec->point >= 0 ? scale : 1;
    scale = dec->point >= 0 ? 1 : scale;
    if (value * scale + above_ * scale > unit)
        dec->point++;
    else
        scale *= 10;
    value *= scale;
    below *= scale;
    above_ *= scale;
    double per_unit = 1 / (double)unit;
    for (dec->n = 0;; value *= 10, below *= 10, above_ *= 10) {
        int digit = (int)((double)value * per_unit); /* right, or one beside it */
        u128 whole = unit * (unsigned)digit;
        if (whole > value) {
            digit--;
            whole -= unit;
        } else if (value - whole >= unit) {
            digit++;
            whole += unit;
        }
        value -= whole;
        bool stop = value < below;
        bool up = value + above_ > unit;
        int half = value * 2 < unit ? -1 : value * 2 > unit;
        if (settle(dec, digit, stop, up, half))
            return;
    }
}

static void shortest(struct decimal *dec, uint64_t mantissa, int exponent, bool even_gaps)
{
    if (exponent >= NEAR_FROM && exponent <= NEAR_TO)
        shortest_near(dec, mantissa, exponent, even_gaps);
    else
        shortest_any(dec, mantissa, exponent, even_gaps);
}

/* Most numbers that people store have few digits: n / 10^k with both exact gives the very double only when that decimal lies
 * within its interval (and not at an edge: n would need 54 bits). With at most 15 digits there is no other as short. */
static bool few_digits(struct decimal *dec, double v)
{
    static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
    if (v >= 1e15 || v < 1e-5)
        return false;
    for (size_t k = 0; k < sizeof power / sizeof *power; k++) {
        double n = rint(v * power[k]);
        if (n >= 1e15)
            return false;
        if (n / power[k] != v)
            continue;
        char text[PH_VALUE_DIGITS];
        size_t len = ph_value_put_digits(text, (uint64_t)n);
        dec->point = (int)len - (int)k;
        while (len > 1 && text[len - 1] == '0')
            len--;
        dec->n = (int)len;
        memcpy(dec->digit, text, len);
        return true;
    }
    return false;
}

/* As printf's %g would with enough precision: an exponent below -4 or from `fixed` on is written. */
static void add_decimal(struct ph_buf *out, const struct decimal *dec, int fixed)
{
    char text[64];
    size_t n = 0;
    int exponent = dec->point - 1;
    bool scientific = exponent < -4 || exponent >= fixed;
    int point = scientific ? 1 : dec->point;
    if (point <= 0) {
        text[n++] = '0';
        text[n++] = '.';
        for (int i = point; i < 0; i++)
            text[n++] = '0';
    }
    for (int i = 0; i < dec->n; i++) {
        if (i == point && point > 0)
            text[n++] = '.';
        text[n++] = dec->digit[i];
    }
    for (int i = dec->n; i < point; i++)
        text[n++] = '0';
    if (scientific) {
        unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
        text[n++] = 'e';
        text[n++] = exponent < 0 ? '-' : '+';
        if (size < 10)
            text[n++] = '0';
        n += ph_value_put_digits(text + n, size);
    }
    ph_buf_addn(out, text, n);
}

/* What is no ordinary number; false when it is one, and its sign has been written. */
static bool add_special(struct ph_buf *out, double v)
{
    if (isnan(v)) {
        ph_buf_add(out, "NaN");
        return true;
    }
    if (signbit(v))
        ph_buf_addc(out, '-');
    if (isinf(v))
        ph_buf_add(out, "Infinity");
    else if (v == 0)
        ph_buf_addc(out, '0');
    return isinf(v) || v == 0;
}

void ph_value_add_float8(struct ph_buf *out, double v)
{
    if (add_special(out, v))
        return;
    struct decimal dec;
    if (!few_digits(&dec, fabs(v))) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
        int biased = (int)(bits >> 52 & 0x7FF);
        if (biased == 0)
            shortest(&dec, fraction, 1 - 1075, true);
        else
            shortest(&dec, fraction | UINT64_C(1) << 52, biased - 1075,
                     fraction != 0 || biased == 1);
    }
    add_decimal(out, &dec, 15);
}

static void add_float4(struct ph_buf *out, float v)
{
    if (add_special(out, (double)v))
        return;
    struct decimal dec;
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint32_t fraction = bits & ((UINT32_C(1) << 23) - 1);
    int biased = (int)(bits >> 23 & 0xFF);
    if (biased == 0)
        shortest(&dec, fraction, 1 - 150, true);
    else
        shortest(&dec, fraction | UINT32_C(1) << 23, biased - 150, fraction != 0 || biased == 1);
    add_decimal(out, &dec, 6);
}

bool ph_value_read_float8(struct ph_bytes *in, double *v)
{
    uint64_t bits;
    if (!ph_bytes_u64(in, &bits))
        return false;
    memcpy(v, &bits, sizeof *v);
    return true;
}

bool ph_value_float8(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    double v;
    if (!ph_value_read_float8(in, &v))
        return false;
    ph_value_add_float8(out, v);
    return true;
}

bool ph_value_float4(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    uint32_t bits;
    if (!ph_bytes_u32(in, &bits))
        return false;
    float v;
    memcpy(&v, &bits, sizeof v);
    add_float4(out, v);
    return true;
}
