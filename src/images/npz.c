/* .npz: a ZIP archive of .npy files. Entries are stored, not deflated, as numpy.savez does.
 * ZIP: PKWARE APPNOTE 6.3; .npy: numpy.lib.format. */
#include "images/npz.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

#define LOCAL_MAGIC 0x04034b50u
#define CENTRAL_MAGIC 0x02014b50u
#define END_MAGIC 0x06054b50u
#define LOCAL_BYTES 30
#define CENTRAL_BYTES 46
#define END_BYTES 22
#define MAX_COMMENT_BYTES 65535
#define ZIP_VERSION 20
#define DOS_DATE_1980 0x0021
#define NPY_PREFIX_BYTES 10
#define NPY_ALIGN 64

static uint32_t read_u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t read_u32(const uint8_t *p)
{
    return read_u16(p) | read_u16(p + 2) << 16;
}

/* CRC-32 of ZIP (polynomial 0xEDB88320), eight bits at a time. */
static uint32_t crc32_of(const uint8_t *data, size_t bytes, uint32_t crc)
{
    uint32_t table[256];

    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
    }
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++)
        crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
    return ~crc;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* The text of a .npy header, read from the left. */
struct text {
    const char *at, *end;
};

static void skip_spaces(struct text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n'))
        t->at++;
}

/* Takes `word` if it stands here. */
static bool take(struct text *t, const char *word)
{
    const size_t len = strlen(word);

    skip_spaces(t);
    if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len))
        return false;
    t->at += len;
    return true;
}

/* (1, 3, 224, 224) or (5,) or () */
static bool take_shape(struct text *t, struct dlm_npz_view *view)
{
    if (!take(t, "("))
        return false;
    for (view->num_dims = 0; !take(t, ")"); view->num_dims++) {
        int64_t len = 0;
        const char *first = t->at;
        if (view->num_dims == DLM_NPZ_MAX_DIMS)
            return false;
        for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
            if (len > INT64_MAX / 10 - 1)
                return false;
            len = len * 10 + (*t->at - '0');
        }
        if (t->at == first)
            return false;
        view->shape[view->num_dims] = len;
        if (take(t, ","))
            continue;
        view->num_dims++;
        return view->num_dims > 1 && take(t, ")");
    }
    return true;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (...), } in any order */
static const char *parse_dict(struct text t, struct dlm_npz_view *view)
{
    bool has_type = false, has_order = false, has_shape = false;

    if (!take(&t, "{"))
        return "damaged array header";
    while (!take(&t, "}")) {
        if (take(&t, "'descr'") && take(&t, ":")) {
            if (!take(&t, "'<f4'"))
                return "the array is not float32";
            has_type = true;
        } else if (take(&t, "'fortran_order'") && take(&t, ":")) {
            if (!take(&t, "False"))
                return "the array is not in C order";
            has_order = true;
        } else if (take(&t, "'shape'") && take(&t, ":")) {
            if (!take_shape(&t, view))
                return "damaged array shape";
            has_shape = true;
        } else {
            return "damaged array header";
        }
        if (!take(&t, ","))
            skip_spaces(&t);
    }
    return has_type && has_order && has_shape ? NULL : "damaged array header";
}

static const char *parse_npy(const uint8_t *data, size_t bytes, struct dlm_npz_view *view)
{
    size_t at = NPY_PREFIX_BYTES, need = sizeof(float);

    if (bytes < NPY_PREFIX_BYTES + 2 || memcmp(data, "\x93NUMPY", 6))
        return "the entry is not an array";
    size_t header = read_u16(data + 8);
    if (data[6] >= 2) { /* versions 2 and 3: a longer length field */
        header = read_u32(data + 8);
        at += 2;
    }
    if (header > bytes - at)
        return "the array is truncated";
    const char *text = (const char *)data + at;
    const char *reason = parse_dict((struct text){text, text + header}, view);
    if (reason)
        return reason;
    for (int i = 0; i < view->num_dims; i++)
        if (!dlm_mul_size(need, (size_t)view->shape[i], &need))
            return "the array is too large";
    if (need != bytes - at - header)
        return "the array's size does not fit its shape";
    view->data = data + at + header;
    view->bytes = need;
    return NULL;
}

/* Offset of the end record; false if there is none. */
static bool find_end(const uint8_t *data, size_t bytes, size_t *at)
{
    if (bytes < END_BYTES)
        return false;
    const size_t last = bytes - END_BYTES;
    for (size_t back = 0; back <= last && back <= MAX_COMMENT_BYTES; back++)
        if (read_u32(data + last - back) == END_MAGIC &&
            read_u16(data + last - back + 20) == back) {
            *at = last - back;
            return true;
        }
    return false;
}

/* Reads the entry that the central record at data[at] describes. */
static const char *read_entry(const uint8_t *data, size_t bytes, size_t at,
                              struct dlm_npz_view *view)
{
    const uint8_t *record = data + at;
    const uint32_t size = read_u32(record + 24);
    size_t local = read_u32(record + 42);

    if (read_u16(record + 8) & 1 || read_u16(record + 10) != 0)
        return "the entry is compressed";
    if (size != read_u32(record + 20))
        return "damaged archive entry";
    if (local > bytes || bytes - local < LOCAL_BYTES || read_u32(data + local) != LOCAL_MAGIC)
        return "damaged archive entry";
    const size_t skip = LOCAL_BYTES + read_u16(data + local + 26) + read_u16(data + local + 28);
    if (skip > bytes - local || size > bytes - local - skip)
        return "the archive is truncated";
    local += skip;
    if (crc32_of(data + local, size, 0) != read_u32(record + 16))
        return "the entry's checksum is wrong";
    return parse_npy(data + local, size, view);
}

const char *dlm_npz_find_f32(const void *data, size_t bytes, const char *name,
                             struct dlm_npz_view *view)
{
    const uint8_t *archive = data;
    const size_t name_len = strlen(name);
    size_t end;

    if (!find_end(archive, bytes, &end))
        return "not a .npz archive, or a truncated one";
    const uint32_t num_entries = read_u16(archive + end + 10);
    size_t at = read_u32(archive + end + 16);
    for (uint32_t i = 0; i < num_entries; i++) {
        if (at > end || end - at < CENTRAL_BYTES || read_u32(archive + at) != CENTRAL_MAGIC)
            return "damaged archive directory";
        const size_t len = read_u16(archive + at + 28);
        const size_t more = read_u16(archive + at + 30) + read_u16(archive + at + 32);
        if (len + more > end - at - CENTRAL_BYTES)
            return "damaged archive directory";
        const uint8_t *entry = archive + at + CENTRAL_BYTES;
        if (len == name_len + 4 && !memcmp(entry, name, name_len) &&
            !memcmp(entry + name_len, ".npy", 4))
            return read_entry(archive, bytes, at, view);
        at += CENTRAL_BYTES + len + more;
    }
    return "no such array in it";
}

void dlm_npz_array_finish(struct dlm_npz_array *array)
{
    if (!array)
        return;
    dlm_free(array->data);
    *array = (struct dlm_npz_array){0};
}

enum dlm_status dlm_npz_read_f32(struct dlm_ctx *ctx, const char *path, const char *name,
                                 struct dlm_npz_array *out)
{
    struct dlm_map map = {0};
    struct dlm_npz_view view;

    *out = (struct dlm_npz_array){0};
    enum dlm_status st = dlm_map_open(ctx, &map, path);
    if (st)
        goto done;
    const char *reason = dlm_npz_find_f32(map.data, map.bytes, name, &view);
    if (reason) {
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s' in '%s': %s", name, path, reason);
        goto done;
    }
    out->data = dlm_alloc(ctx, view.bytes);
    if (!out->data) {
        st = DLM_ERR_MEMORY;
        goto done;
    }
    memcpy(out->data, view.data, view.bytes);
    memcpy(out->shape, view.shape, sizeof(out->shape));
    out->num_dims = view.num_dims;
done:
    dlm_map_close(&map);
    return st;
}

/* ---- writing ------------------------------------------------------------------------------ */

static enum dlm_status put(struct dlm_ctx *ctx, struct dlm_str *s, uint64_t value, int bytes)
{
    char le[8];

    for (int i = 0; i < bytes; i++)
        le[i] = (char)(value >> (8 * i) & 255);
    return dlm_str_append(ctx, s, le, (size_t)bytes);
}

/* Fields of a ZIP record: value and width in bytes, up to width 0. */
struct field {
    uint32_t value;
    int bytes;
};

static enum dlm_status put_fields(struct dlm_ctx *ctx, struct dlm_str *s, const struct field *f)
{
    enum dlm_status st = DLM_OK;

    for (; !st && f->bytes; f++)
        st = put(ctx, s, f->value, f->bytes);
    return st;
}

/* The .npy header, padded so that the data behind it is aligned. */
static enum dlm_status put_npy_header(struct dlm_ctx *ctx, struct dlm_str *s,
                                      const struct dlm_npz_array *array)
{
    struct dlm_str dict = {0};

    enum dlm_status st =
        dlm_str_appendz(ctx, &dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int i = 0; !st && i < array->num_dims; i++)
        st = dlm_str_appendf(ctx, &dict, "%lld%s", (long long)array->shape[i],
                             array->num_dims == 1       ? ","
                             : i + 1 < array->num_dims ? ", "
                                                       : "");
    if (!st)
        st = dlm_str_appendz(ctx, &dict, "), }");
    while (!st && (NPY_PREFIX_BYTES + dict.len + 1) % NPY_ALIGN)
        st = dlm_str_appendz(ctx, &dict, " ");
    if (!st)
        st = dlm_str_appendz(ctx, &dict, "\n");
    if (!st)
        st = dlm_str_append(ctx, s, "\x93NUMPY\x01\x00", 8);
    if (!st)
        st = put(ctx, s, dict.len, 2);
    if (!st)
        st = dlm_str_append(ctx, s, dict.data, dict.len);
    dlm_str_finish(&dict);
    return st;
}

/* Bytes of the array's data; false if the file would not fit a plain ZIP archive. */
static bool data_bytes(const struct dlm_npz_array *array, size_t *bytes)
{
    *bytes = sizeof(float);
    for (int i = 0; i < array->num_dims; i++)
        if (array->shape[i] < 0 || !dlm_mul_size(*bytes, (size_t)array->shape[i], bytes))
            return false;
    return *bytes < UINT32_MAX - 65536;
}

/* Local header, array, directory and end record in one block of memory. */
static enum dlm_status build_archive(struct dlm_ctx *ctx, struct dlm_str *zip, const char *name,
                                     const struct dlm_npz_array *array, size_t bytes)
{
    struct dlm_str header = {0};
    const uint32_t name_len = (uint32_t)strlen(name) + 4; /* below 260, checked by the caller */

    enum dlm_status st = put_npy_header(ctx, &header, array);
    if (st)
        goto done;
    const uint32_t size = (uint32_t)(header.len + bytes); /* data_bytes() has checked the range */
    uint32_t crc = crc32_of((const uint8_t *)header.data, header.len, 0);
    crc = crc32_of((const uint8_t *)array->data, bytes, crc);
    const struct field local[] = {{LOCAL_MAGIC, 4}, {ZIP_VERSION, 2}, {0, 2}, {0, 2}, {0, 2},
                                  {DOS_DATE_1980, 2}, {crc, 4}, {size, 4}, {size, 4},
                                  {name_len, 2}, {0, 2}, {0, 0}};
    st = put_fields(ctx, zip, local);
    if (!st)
        st = dlm_str_appendf(ctx, zip, "%s.npy", name);
    if (!st)
        st = dlm_str_append(ctx, zip, header.data, header.len);
    if (!st)
        st = dlm_str_append(ctx, zip, (const char *)array->data, bytes);
    const uint32_t directory = (uint32_t)zip->len;
    const struct field central[] = {{CENTRAL_MAGIC, 4}, {ZIP_VERSION, 2}, {ZIP_VERSION, 2},
                                    {0, 2}, {0, 2}, {0, 2}, {DOS_DATE_1980, 2}, {crc, 4},
                                    {size, 4}, {size, 4}, {name_len, 2}, {0, 2}, {0, 2}, {0, 2},
                                    {0, 2}, {0, 4}, {0, 4}, {0, 0}};
    if (!st)
        st = put_fields(ctx, zip, central);
    if (!st)
        st = dlm_str_appendf(ctx, zip, "%s.npy", name);
    const struct field end[] = {{END_MAGIC, 4}, {0, 2}, {0, 2}, {1, 2}, {1, 2},
                                {CENTRAL_BYTES + name_len, 4}, {directory, 4}, {0, 2}, {0, 0}};
    if (!st)
        st = put_fields(ctx, zip, end);
done:
    dlm_str_finish(&header);
    return st;
}

enum dlm_status dlm_npz_write_f32(struct dlm_ctx *ctx, const char *path, const char *name,
                                  const struct dlm_npz_array *array)
{
    struct dlm_str zip = {0};
    size_t bytes;
    enum dlm_status st = DLM_OK;

    DLM_REQUIRE(ctx, array->num_dims >= 0 && array->num_dims <= DLM_NPZ_MAX_DIMS);
    DLM_REQUIRE(ctx, strlen(name) < 256);
    if (!data_bytes(array, &bytes)) {
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED, "cannot write '%s': array '%s' takes 4 GiB or more",
                      path, name);
        goto done;
    }
    st = build_archive(ctx, &zip, name, array, bytes);
    if (!st)
        st = dlm_file_replace(ctx, path, zip.data, zip.len);
done:
    dlm_str_finish(&zip);
    return st;
}
