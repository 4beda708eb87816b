/* Geometry: points, and brackets around them. */
#include "copy/decode_value.h"

static bool add_point(struct ph_bytes *in, struct ph_buf *out)
{
    double x, y;
    if (!ph_value_read_float8(in, &x) || !ph_value_read_float8(in, &y))
        return false;
    ph_buf_addc(out, '(');
    ph_value_add_float8(out, x);
    ph_buf_addc(out, ',');
    ph_value_add_float8(out, y);
    ph_buf_addc(out, ')');
    return true;
}

/* n points with commas between them, and `open` and `close` around. */
static bool add_points(struct ph_bytes *in, struct ph_buf *out, int32_t n, const char *open,
                       const char *close)
{
    if (n < 1 || (size_t)n > in->left / 16)
        return ph_bytes_bad(in, "its number of points is impossible");
    ph_buf_add(out, open);
    for (int32_t i = 0; i < n; i++) {
        if (i)
            ph_buf_addc(out, ',');
        if (!add_point(in, out))
            return false;
    }
    ph_buf_add(out, close);
    return true;
}

bool ph_value_point(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_point(in, out);
}

bool ph_value_lseg(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_points(in, out, 2, "[", "]");
}

bool ph_value_box(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    return add_points(in, out, 2, "", "");
}

bool ph_value_path(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    unsigned closed;
    int32_t n;
    if (!ph_bytes_u8(in, &closed) || !ph_bytes_i32(in, &n))
        return false;
    return add_points(in, out, n, closed ? "(" : "[", closed ? ")" : "]");
}

bool ph_value_polygon(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int32_t n;
    return ph_bytes_i32(in, &n) && add_points(in, out, n, "(", ")");
}

bool ph_value_line(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    for (int i = 0; i < 3; i++) {
        double v;
        if (!ph_value_read_float8(in, &v))
            return false;
        ph_buf_addc(out, i ? ',' : '{');
        ph_value_add_float8(out, v);
    }
    ph_buf_addc(out, '}');
    return true;
}

bool ph_value_circle(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    double radius;
    ph_buf_addc(out, '<');
    if (!add_point(in, out) || !ph_value_read_float8(in, &radius))
        return false;
    ph_buf_addc(out, ',');
    ph_value_add_float8(out, radius);
    ph_buf_addc(out, '>');
    return true;
}
