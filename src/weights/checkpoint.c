/* A checkpoint: the files of one model, opened from a folder, an index or a single file. */
#include "weights/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "weights/safetensors.h"

/* An index lists every tensor of the largest models in a few MB. */
#define MAX_INDEX_BYTES ((size_t)64 << 20)

#define SAMPLE_BYTES 4096 /* of each tensor, for the fingerprint */

struct dlm_checkpoint {
    struct dlm_tensor_list list;
    struct dlm_checkpoint_file *files;
    struct dlm_map *maps; /* one a file; empty for a file in memory */
    size_t num_files;
    json_t *metadata; /* of the first file; may be NULL */
};

static int compare_names(const void *a, const void *b)
{
    const struct dlm_tensor_info *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Sorts all tensors by name and refuses a name that two shards hold. */
static enum dlm_status sort_tensors(struct dlm_ctx *ctx, struct dlm_tensor_list *list)
{
    if (!list->len)
        return DLM_OK;
    qsort(list->items, list->len, sizeof(*list->items), compare_names);
    for (size_t i = 1; i < list->len; i++) {
        const struct dlm_tensor_info *a = &list->items[i - 1], *b = &list->items[i];
        if (!strcmp(a->name, b->name))
            return dlm_fail(ctx, DLM_ERR_PARSE,
                            "cannot read '%s': tensor '%.200s' is also in '%s'", b->file, b->name,
                            a->file);
    }
    return DLM_OK;
}

static enum dlm_status stat_file(struct dlm_ctx *ctx, const char *path,
                                 struct dlm_checkpoint_file *file)
{
    struct stat sb;

    if (stat(path, &sb))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    file->mtime_ns = (int64_t)sb.st_mtim.tv_sec * 1000000000 + sb.st_mtim.tv_nsec;
    return DLM_OK;
}

/* Maps file i of c, whatever is in it. */
static enum dlm_status map_file(struct dlm_ctx *ctx, struct dlm_checkpoint *c, size_t i,
                                const char *path)
{
    struct dlm_checkpoint_file *file = &c->files[i];

    file->path = dlm_arena_strndup(ctx, &c->list.arena, path, strlen(path));
    if (!file->path)
        return DLM_ERR_MEMORY;
    enum dlm_status st = dlm_map_open(ctx, &c->maps[i], path);
    file->bytes = c->maps[i].bytes;
    return st ? st : stat_file(ctx, path, file);
}

/* Maps and parses file i of c. */
static enum dlm_status open_file(struct dlm_ctx *ctx, struct dlm_checkpoint *c, size_t i,
                                 const char *path)
{
    enum dlm_status st = map_file(ctx, c, i, path);

    return st ? st
              : dlm_safetensors_parse(ctx, &c->list, path, c->maps[i].data, c->maps[i].bytes,
                                      c->files[i].header_sha256, i ? NULL : &c->metadata);
}

static enum dlm_status make_files(struct dlm_ctx *ctx, struct dlm_checkpoint *c, size_t num)
{
    c->files = dlm_alloc_array(ctx, num, sizeof(*c->files));
    c->maps = dlm_alloc_array(ctx, num, sizeof(*c->maps));
    if (!c->files || !c->maps)
        return DLM_ERR_MEMORY;
    c->num_files = num;
    return DLM_OK;
}

static enum dlm_status open_single(struct dlm_ctx *ctx, struct dlm_checkpoint *c, const char *path)
{
    enum dlm_status st = make_files(ctx, c, 1);

    if (!st)
        st = open_file(ctx, c, 0, path);
    return st ? st : sort_tensors(ctx, &c->list);
}

/* --- index --- */

static enum dlm_status bad_index(struct dlm_ctx *ctx, const char *path, const char *tensor,
                                 const char *what)
{
    return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': tensor '%.200s' %s", path, tensor, what);
}

/* A shard lies in the index's own folder; anything else is not followed. */
static bool is_plain_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/');
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Different shard names of the index, sorted; *shards is owned, its strings borrowed from map. */
static enum dlm_status list_shards(struct dlm_ctx *ctx, const char *path, json_t *map,
                                   const char ***shards, size_t *num)
{
    const char *tensor;
    json_t *value;
    size_t len = 0;

    *num = 0;
    *shards = dlm_alloc_array(ctx, json_object_size(map), sizeof(**shards));
    if (!*shards)
        return DLM_ERR_MEMORY;
    json_object_foreach(map, tensor, value) {
        const char *shard = json_string_value(value);
        if (!shard)
            return bad_index(ctx, path, tensor, "has no shard");
        if (!is_plain_name(shard))
            return bad_index(ctx, path, tensor, "is in a shard outside the folder");
        if (!len || strcmp((*shards)[len - 1], shard)) /* neighbours share their shard mostly */
            (*shards)[len++] = shard;
    }
    if (!len)
        return dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it lists no tensors", path);
    qsort(*shards, len, sizeof(**shards), compare_strings);
    for (size_t i = 0; i < len; i++)
        if (!*num || strcmp((*shards)[*num - 1], (*shards)[i]))
            (*shards)[(*num)++] = (*shards)[i];
    return DLM_OK;
}

/* Every tensor of the index is where the index says. */
static enum dlm_status check_index(struct dlm_ctx *ctx, const struct dlm_checkpoint *c,
                                   const char *path, json_t *map)
{
    const char *tensor;
    json_t *value;

    json_object_foreach(map, tensor, value) {
        const struct dlm_tensor_info *t = dlm_checkpoint_find(c, tensor);
        if (!t || strcmp(dlm_path_basename(t->file), json_string_value(value)))
            return dlm_fail(ctx, DLM_ERR_PARSE,
                            "cannot read '%s': tensor '%.200s' is not in shard '%s'", path, tensor,
                            json_string_value(value));
    }
    return DLM_OK;
}

static enum dlm_status open_shard(struct dlm_ctx *ctx, struct dlm_checkpoint *c, size_t i,
                                  const char *index, const char *folder, const char *name)
{
    char *path = dlm_path_join(ctx, folder, name);
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!path)
        return st;
    if (!dlm_path_is_file(path))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot read '%s': shard '%s' is missing", index, name);
    else
        st = open_file(ctx, c, i, path);
    dlm_free(path);
    return st;
}

static enum dlm_status open_index(struct dlm_ctx *ctx, struct dlm_checkpoint *c, const char *path)
{
    const char **shards = NULL;
    char *folder = NULL;
    json_t *index = NULL;
    size_t num;

    enum dlm_status st = dlm_json_load(ctx, path, MAX_INDEX_BYTES, &index);
    if (st)
        goto done;
    json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map)) {
        st = dlm_fail(ctx, DLM_ERR_PARSE, "cannot read '%s': it has no 'weight_map'", path);
        goto done;
    }
    st = list_shards(ctx, path, map, &shards, &num);
    if (!st)
        st = make_files(ctx, c, num);
    if (!st && !(folder = dlm_path_dirname(ctx, path)))
        st = DLM_ERR_MEMORY;
    for (size_t i = 0; !st && i < num; i++)
        st = open_shard(ctx, c, i, path, folder, shards[i]);
    if (!st)
        st = sort_tensors(ctx, &c->list);
    if (!st)
        st = check_index(ctx, c, path, map);
done:
    dlm_free(folder);
    dlm_free(shards);
    json_decref(index);
    return st;
}

/* --- opening --- */

static bool has_suffix(const char *s, const char *suffix)
{
    size_t len = strlen(s), n = strlen(suffix);
    return len >= n && !strcmp(s + len - n, suffix);
}

/* Tells why a folder without safetensors is refused. */
static enum dlm_status refuse_folder(struct dlm_ctx *ctx, const char *dir)
{
    char *bin = dlm_path_join(ctx, dir, "pytorch_model.bin");
    char *bin_index = dlm_path_join(ctx, dir, "pytorch_model.bin.index.json");
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!bin || !bin_index)
        goto done;
    if (dlm_path_is_file(bin) || dlm_path_is_file(bin_index))
        st = dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
                      "cannot read '%s': its weights are a pickle, only safetensors are read", dir);
    else
        st = dlm_fail(ctx, DLM_ERR_IO,
                      "cannot read '%s': neither model.safetensors nor "
                      "model.safetensors.index.json is there",
                      dir);
done:
    dlm_free(bin);
    dlm_free(bin_index);
    return st;
}

static enum dlm_status open_folder(struct dlm_ctx *ctx, struct dlm_checkpoint *c, const char *dir)
{
    char *single = dlm_path_join(ctx, dir, "model.safetensors");
    char *index = dlm_path_join(ctx, dir, "model.safetensors.index.json");
    enum dlm_status st = DLM_ERR_MEMORY;

    if (!single || !index)
        goto done;
    if (dlm_path_is_file(single))
        st = open_single(ctx, c, single);
    else if (dlm_path_is_file(index))
        st = open_index(ctx, c, index);
    else
        st = refuse_folder(ctx, dir);
done:
    dlm_free(single);
    dlm_free(index);
    return st;
}

enum dlm_status dlm_checkpoint_look(struct dlm_ctx *ctx, const char *dir, bool *has)
{
    char **names = NULL;

    *has = false;
    enum dlm_status st = dlm_dir_list(ctx, dir, &names);
    for (size_t i = 0; !st && names[i]; i++)
        *has = *has || has_suffix(names[i], ".safetensors") ||
               !strncmp(names[i], "pytorch_model.bin", strlen("pytorch_model.bin"));
    dlm_names_free(names);
    return st;
}

enum dlm_status dlm_checkpoint_open(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                    const char *path)
{
    enum dlm_status st;

    *out = NULL;
    struct dlm_checkpoint *c = dlm_alloc(ctx, sizeof(*c));
    if (!c)
        return DLM_ERR_MEMORY;
    if (dlm_path_is_dir(path))
        st = open_folder(ctx, c, path);
    else if (has_suffix(path, ".json"))
        st = open_index(ctx, c, path);
    else
        st = open_single(ctx, c, path);
    if (st)
        dlm_checkpoint_destroy(&c);
    *out = c;
    return st;
}

enum dlm_status dlm_checkpoint_open_memory(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                           const char *name, const void *bytes, size_t len)
{
    *out = NULL;
    struct dlm_checkpoint *c = dlm_alloc(ctx, sizeof(*c));
    if (!c)
        return DLM_ERR_MEMORY;
    enum dlm_status st = make_files(ctx, c, 1);
    if (!st) {
        c->files[0].path = dlm_arena_strndup(ctx, &c->list.arena, name, strlen(name));
        c->files[0].bytes = len;
        st = c->files[0].path ? DLM_OK : DLM_ERR_MEMORY;
    }
    if (!st)
        st = dlm_safetensors_parse(ctx, &c->list, name, bytes, len, c->files[0].header_sha256,
                                   &c->metadata);
    if (!st)
        st = sort_tensors(ctx, &c->list);
    if (st)
        dlm_checkpoint_destroy(&c);
    *out = c;
    return st;
}

/* --- files of another kind --- */

enum dlm_status dlm_checkpoint_map(struct dlm_ctx *ctx, struct dlm_checkpoint **out,
                                   const char *const *paths, size_t num)
{
    *out = NULL;
    struct dlm_checkpoint *c = dlm_alloc(ctx, sizeof(*c));
    if (!c)
        return DLM_ERR_MEMORY;
    enum dlm_status st = make_files(ctx, c, num);
    for (size_t i = 0; !st && i < num; i++)
        st = map_file(ctx, c, i, paths[i]);
    if (st)
        dlm_checkpoint_destroy(&c);
    *out = c;
    return st;
}

const uint8_t *dlm_checkpoint_bytes(const struct dlm_checkpoint *ckpt, size_t file, size_t *len)
{
    *len = ckpt->maps[file].bytes;
    return ckpt->maps[file].data;
}

void dlm_checkpoint_set_header(struct dlm_checkpoint *ckpt, size_t file, size_t header_bytes)
{
    dlm_sha256_of(ckpt->maps[file].data, header_bytes, ckpt->files[file].header_sha256);
}

enum dlm_status dlm_checkpoint_add(struct dlm_ctx *ctx, struct dlm_checkpoint *ckpt, size_t file,
                                   const struct dlm_tensor_info *t)
{
    struct dlm_tensor_list *list = &ckpt->list;
    struct dlm_tensor_form *form = dlm_arena_alloc(ctx, &list->arena, sizeof(*form));
    const char *name = dlm_arena_strndup(ctx, &list->arena, t->name, strlen(t->name));

    if (!form || !name || !dlm_grow(ctx, &list->items, &list->cap, list->len, sizeof(*t)))
        return DLM_ERR_MEMORY;
    *form = *t->form;
    form->canonical =
        dlm_arena_strndup(ctx, &list->arena, t->form->canonical, strlen(t->form->canonical));
    struct dlm_tensor_info *own = &list->items[list->len];
    *own = *t;
    own->name = name;
    own->file = ckpt->files[file].path;
    own->form = form;
    list->len += form->canonical != NULL;
    return form->canonical ? DLM_OK : DLM_ERR_MEMORY;
}

void *dlm_checkpoint_alloc(struct dlm_ctx *ctx, struct dlm_checkpoint *ckpt, size_t bytes)
{
    return dlm_arena_alloc(ctx, &ckpt->list.arena, bytes);
}

enum dlm_status dlm_checkpoint_end(struct dlm_ctx *ctx, struct dlm_checkpoint *ckpt)
{
    return sort_tensors(ctx, &ckpt->list);
}

void dlm_checkpoint_destroy(struct dlm_checkpoint **ckpt)
{
    if (!ckpt || !*ckpt)
        return;
    struct dlm_checkpoint *c = *ckpt;
    for (size_t i = 0; i < c->num_files; i++)
        dlm_map_close(&c->maps[i]);
    dlm_free(c->maps);
    dlm_free(c->files);
    dlm_tensor_list_finish(&c->list);
    json_decref(c->metadata);
    dlm_free(c);
    *ckpt = NULL;
}

/* --- asking --- */

size_t dlm_checkpoint_num_tensors(const struct dlm_checkpoint *ckpt)
{
    return ckpt->list.len;
}

const struct dlm_tensor_info *dlm_checkpoint_tensor(const struct dlm_checkpoint *ckpt, size_t i)
{
    return &ckpt->list.items[i];
}

size_t dlm_checkpoint_num_files(const struct dlm_checkpoint *ckpt)
{
    return ckpt->num_files;
}

const struct dlm_checkpoint_file *dlm_checkpoint_file_at(const struct dlm_checkpoint *ckpt,
                                                         size_t i)
{
    return &ckpt->files[i];
}

const struct dlm_tensor_info *dlm_checkpoint_find(const struct dlm_checkpoint *ckpt,
                                                  const char *name)
{
    const struct dlm_tensor_info key = {.name = name};

    if (!ckpt->list.len)
        return NULL;
    return bsearch(&key, ckpt->list.items, ckpt->list.len, sizeof(key), compare_names);
}

int64_t dlm_tensor_len(const struct dlm_tensor_info *t)
{
    int64_t len = 1;

    for (int i = 0; i < t->ndim; i++)
        len *= t->shape[i]; /* of what lies in a file */
    return len;
}

enum dlm_status dlm_tensor_check_dtype(struct dlm_ctx *ctx, const struct dlm_tensor_info *t)
{
    if (t->dtype != DLM_DTYPE_COUNT)
        return DLM_OK;
    dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
             "cannot use '%s': tensor '%.200s' has type %s, which is not supported", t->file,
             t->name, t->st_type);
    if (t->form)
        dlm_log(ctx, DLM_LOG_HINT, "files in Q4_K_M, Q5_K_M, Q6_K, Q8_0, F16 or BF16 have none but "
                "supported types");
    return DLM_ERR_UNSUPPORTED;
}

/* "[2, 3]" into text; shapes have at most DLM_TENSOR_MAX_DIMS of 20 characters. */
static const char *shape_text(int ndim, const int64_t *shape, char text[256])
{
    size_t at = 0;

    text[at++] = '[';
    for (int i = 0; i < ndim; i++)
        at += (size_t)snprintf(text + at, 256 - at, i ? ", %lld" : "%lld", (long long)shape[i]);
    text[at++] = ']';
    text[at] = '\0';
    return text;
}

enum dlm_status dlm_tensor_check_shape(struct dlm_ctx *ctx, const struct dlm_tensor_info *t,
                                       int ndim, const int64_t *shape)
{
    char got[256], want[256];

    if (t->ndim == ndim && !memcmp(t->shape, shape, (size_t)ndim * sizeof(*shape)))
        return DLM_OK;
    return dlm_fail(ctx, DLM_ERR_INVALID, "cannot use '%s': tensor '%.200s' has shape %s, not %s",
                    t->file, t->name, shape_text(t->ndim, t->shape, got),
                    shape_text(ndim, shape, want));
}

void dlm_checkpoint_drop(const struct dlm_checkpoint *ckpt, const struct dlm_tensor_info *t)
{
    dlm_checkpoint_drop_part(ckpt, t, 0, t->bytes);
}

void dlm_checkpoint_drop_part(const struct dlm_checkpoint *ckpt, const struct dlm_tensor_info *t,
                              size_t offset, size_t bytes)
{
    for (size_t i = 0; i < ckpt->num_files; i++) {
        const struct dlm_map *map = &ckpt->maps[i];
        if (map->data && t->data >= map->data && t->data < map->data + map->bytes)
            dlm_map_drop(map, (size_t)(t->data - map->data) + offset, bytes);
    }
}

const char *dlm_checkpoint_metadata(const struct dlm_checkpoint *ckpt, const char *key)
{
    return json_string_value(json_object_get(ckpt->metadata, key));
}

/* The name of the blob that path links to (../../blobs/<hash> in the hub's cache); false if it is
 * no such link. */
static bool hub_blob_name(const char *path, char name[256])
{
    char target[4096];
    ssize_t len = readlink(path, target, sizeof(target) - 1);

    if (len <= 0)
        return false;
    target[len] = '\0';
    const char *blob = strstr(target, "blobs/");
    if (!blob)
        return false;
    const char *base = dlm_path_basename(blob);
    if (strlen(base) < 40 || strlen(base) >= 256) /* sha1 of git or sha256 of LFS, in hex */
        return false;
    memcpy(name, base, strlen(base) + 1);
    return true;
}

enum dlm_status dlm_checkpoint_identity(struct dlm_ctx *ctx, const struct dlm_checkpoint *ckpt,
                                        char sha[65])
{
    struct dlm_str text = {0};
    char blob[256];
    enum dlm_status st = DLM_OK;

    for (size_t i = 0; !st && i < ckpt->num_files; i++) {
        const struct dlm_checkpoint_file *f = &ckpt->files[i];
        const char *base = dlm_path_basename(f->path);
        if (hub_blob_name(f->path, blob))
            st = dlm_str_appendf(ctx, &text, "%s blob %s\n", base, blob);
        else
            st = dlm_str_appendf(ctx, &text, "%s %llu %lld %s\n", base,
                                 (unsigned long long)f->bytes, (long long)f->mtime_ns,
                                 f->header_sha256);
    }
    if (!st)
        dlm_sha256_of(dlm_str_text(&text), text.len, sha);
    dlm_str_finish(&text);
    return st;
}

void dlm_checkpoint_fingerprint(const struct dlm_checkpoint *ckpt, char sha[65])
{
    struct dlm_sha256 hash;
    uint8_t digest[32];

    dlm_sha256_init(&hash);
    for (size_t i = 0; i < ckpt->num_files; i++) {
        const struct dlm_checkpoint_file *f = &ckpt->files[i];
        dlm_sha256_update(&hash, &f->bytes, sizeof(f->bytes));
        dlm_sha256_update(&hash, f->header_sha256, 64);
    }
    for (size_t i = 0; i < dlm_checkpoint_num_tensors(ckpt); i++) {
        const struct dlm_tensor_info *t = dlm_checkpoint_tensor(ckpt, i);
        dlm_sha256_update(&hash, t->data, DLM_MIN(t->bytes, (size_t)SAMPLE_BYTES));
        dlm_checkpoint_drop(ckpt, t); /* the kernel maps far more than was asked for */
    }
    dlm_sha256_finish(&hash, digest);
    dlm_sha256_hex(digest, sha);
}
