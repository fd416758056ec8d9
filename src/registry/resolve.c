/* From the text of base_model to a folder on this machine: bundled data, the hub's cache, dir:. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "registry/gguf_files.h"

/* How many known keys a message lists before it counts the rest. */
#define NUM_LISTED 5

/* --- identify --- */

/* Bases that can be trained come first, each kind by key. */
static int compare_rows(const void *a, const void *b)
{
    const struct dlm_base_row *x = *(const struct dlm_base_row *const *)a;
    const struct dlm_base_row *y = *(const struct dlm_base_row *const *)b;

    if (!x->family != !y->family)
        return x->family ? -1 : 1;
    return strcmp(x->key, y->key);
}

/* "a, b; c, d (not trainable yet), ... (N more)" */
static enum dlm_status list_keys(struct dlm_ctx *ctx, struct dlm_str *list)
{
    const size_t num = dlm_registry_num_rows();
    const struct dlm_base_row **rows = dlm_alloc_array(ctx, num, sizeof(*rows));
    enum dlm_status st = rows ? DLM_OK : DLM_ERR_MEMORY;
    size_t listed = 0;

    for (size_t i = 0; !st && i < num; i++)
        rows[i] = dlm_registry_row(i);
    if (!st)
        qsort(rows, num, sizeof(*rows), compare_rows);
    for (; !st && listed < num && (rows[listed]->family || listed < NUM_LISTED); listed++)
        st = dlm_str_appendf(ctx, list, "%s%s%s", listed ? ", " : "", rows[listed]->key,
                             rows[listed]->family ? "" : " (not trainable yet)");
    if (!st)
        st = dlm_str_appendf(ctx, list, ", \xe2\x80\xa6 (%zu more)", num - listed);
    dlm_free(rows);
    return st;
}

/* A folder or a name of the hub without the word that says so. */
static void hint_at_prefix(struct dlm_ctx *ctx, const char *text)
{
    if (dlm_path_is_file(text))
        dlm_log(ctx, DLM_LOG_HINT, "a GGUF file is `gguf:%.200s`", text);
    else if (dlm_path_is_dir(text) || (text[0] && strchr("./~", text[0])))
        dlm_log(ctx, DLM_LOG_HINT, "a folder is `dir:%.200s`", text);
    else if (dlm_base_is_hf_id(text))
        dlm_log(ctx, DLM_LOG_HINT, "a model of the hub is `hf:%.200s`, a folder `dir:%.200s`", text,
                text);
    else if (strchr(text, '/'))
        dlm_log(ctx, DLM_LOG_HINT, "a folder is `dir:%.200s`", text);
}

static enum dlm_status unknown_base(struct dlm_ctx *ctx, const char *text)
{
    struct dlm_str list = {0};

    enum dlm_status st = list_keys(ctx, &list);
    if (!st) {
        st = dlm_fail(ctx, DLM_ERR_INVALID,
                      "unknown base model '%.100s'. Known keys: %s. Use `hf:org/name` for models "
                      "outside the registry.",
                      text, dlm_str_text(&list));
        hint_at_prefix(ctx, text);
    }
    dlm_str_finish(&list);
    return st;
}

static const struct dlm_base_row *row_by_hf_id(const char *hf_id)
{
    for (size_t i = 0; i < dlm_registry_num_rows(); i++) {
        const struct dlm_base_row *row = dlm_registry_row(i);
        if (row->hf_id && !strcmp(row->hf_id, hf_id))
            return row;
    }
    return NULL;
}

/* The user's row with this key, or with key NULL of this repository. base->own then holds it. */
static enum dlm_status find_own(struct dlm_ctx *ctx, struct dlm_base *base, const char *key,
                                const char *hf_id)
{
    enum dlm_status st = dlm_own_rows_read(ctx, &base->own, NULL);

    base->row = dlm_own_rows_find(&base->own, key, hf_id);
    if (!base->row)
        dlm_own_rows_finish(&base->own);
    return st;
}

static enum dlm_status set_string(struct dlm_ctx *ctx, char **field, const char *value)
{
    if (!value)
        return DLM_OK;
    char *copy = dlm_strdup(ctx, value);
    if (!copy)
        return DLM_ERR_MEMORY;
    dlm_free(*field);
    *field = copy;
    return DLM_OK;
}

bool dlm_base_names_gguf(const char *text)
{
    return !strncmp(text, "gguf:", 5);
}

enum dlm_status dlm_base_identify(struct dlm_ctx *ctx, struct dlm_base *base, const char *text)
{
    enum dlm_status st = DLM_OK;

    *base = (struct dlm_base){.modality = DLM_MODALITY_VISION_LANGUAGE};
    if (!strncmp(text, "hf:", 3)) {
        if (!dlm_base_is_hf_id(text + 3))
            return dlm_fail(ctx, DLM_ERR_INVALID, "bad base model '%.200s': not hf:org/name", text);
        base->row = row_by_hf_id(text + 3);
        if (!base->row)
            st = find_own(ctx, base, NULL, text + 3);
        if (!st)
            st = set_string(ctx, &base->hf_id, text + 3);
    } else if (!strncmp(text, "dir:", 4) || dlm_base_names_gguf(text)) {
        if (!strchr(text, ':')[1])
            return dlm_fail(ctx, DLM_ERR_INVALID, "bad base model '%s': no path", text);
    } else {
        base->row = dlm_registry_find(text);
        if (!base->row)
            st = find_own(ctx, base, text, NULL);
        if (!st && !base->row)
            return unknown_base(ctx, text);
        if (!st)
            st = set_string(ctx, &base->hf_id, base->row->hf_id);
    }
    if (!st)
        st = set_string(ctx, &base->key, text);
    if (!st && base->row) {
        base->gated = base->row->requires_acceptance;
        base->modality = base->row->modality;
        st = set_string(ctx, &base->revision, base->row->revision);
    }
    if (st)
        dlm_base_finish(base);
    return st;
}

void dlm_base_finish(struct dlm_base *base)
{
    dlm_free(base->key);
    dlm_free(base->hf_id);
    dlm_free(base->revision);
    dlm_free(base->dir);
    dlm_free(base->mmproj);
    dlm_free(base->source);
    dlm_own_rows_finish(&base->own);
    *base = (struct dlm_base){0};
}

const char *dlm_base_name(const struct dlm_base *base)
{
    if (base->hf_id)
        return base->hf_id;
    if (base->source)
        return base->source;
    return base->row || !base->dir ? base->key : base->dir;
}

/* --- the hub's cache --- */

/* Value of an environment variable, NULL when unset or empty. */
static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* path with a leading "~/" replaced by the home folder. */
static char *expand_home(struct dlm_ctx *ctx, const char *path)
{
    const char *home = env("HOME");

    if (path[0] == '~' && path[1] == '/' && home)
        return dlm_path_join(ctx, home, path + 2);
    return dlm_strdup(ctx, path);
}

/* Appends the value of the variable that begins at *at, behind its $, and moves there what is left;
 * nothing where there is no name or no such variable, of which the $ then stays. */
static enum dlm_status append_variable(struct dlm_ctx *ctx, struct dlm_str *out, const char **at)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const bool is_braced = **at == '{';
    const char *begin = *at + is_braced;
    const size_t len = is_braced ? strcspn(begin, "}") : strspn(begin, letters);
    char name[128];

    if (!len || len >= sizeof(name) || (is_braced && begin[len] != '}'))
        return dlm_str_appendz(ctx, out, "$");
    memcpy(name, begin, len);
    name[len] = '\0';
    const char *value = getenv(name);
    if (!value)
        return dlm_str_appendz(ctx, out, "$");
    *at = begin + len + is_braced;
    return dlm_str_appendz(ctx, out, value);
}

/* A path of the environment as huggingface_hub takes it: the home folder, and $NAME and ${NAME}. */
static char *expand(struct dlm_ctx *ctx, const char *path)
{
    char *text = expand_home(ctx, path);
    struct dlm_str out = {0};
    enum dlm_status st = text ? dlm_str_appendz(ctx, &out, "") : DLM_ERR_MEMORY;

    for (const char *at = text; !st && *at;) {
        const size_t len = strcspn(at, "$");
        st = dlm_str_append(ctx, &out, at, len);
        at += len;
        if (!st && *at) {
            at++;
            st = append_variable(ctx, &out, &at);
        }
    }
    dlm_free(text);
    if (!st)
        return out.data;
    dlm_str_finish(&out);
    return NULL;
}

char *dlm_hub_home_dir(struct dlm_ctx *ctx)
{
    const char *home = env("HF_HOME");
    char *cache = home ? expand(ctx, home)
                       : expand(ctx, env("XDG_CACHE_HOME") ? env("XDG_CACHE_HOME") : "~/.cache");

    if (!cache || home)
        return cache;
    char *path = dlm_path_join(ctx, cache, "huggingface");
    dlm_free(cache);
    return path;
}

char *dlm_hub_cache_dir(struct dlm_ctx *ctx)
{
    if (env("HF_HUB_CACHE"))
        return expand(ctx, env("HF_HUB_CACHE"));
    if (env("HUGGINGFACE_HUB_CACHE")) /* its name before 2023 */
        return expand(ctx, env("HUGGINGFACE_HUB_CACHE"));
    char *home = dlm_hub_home_dir(ctx);
    char *hub = home ? dlm_path_join(ctx, home, "hub") : NULL;
    dlm_free(home);
    return hub;
}

char *dlm_hub_repo_dir(struct dlm_ctx *ctx, const char *cache, const char *hf_id)
{
    const char *slash = strchr(hf_id, '/');

    return dlm_strf(ctx, "%s/models--%.*s--%s", cache, (int)(slash - hf_id), hf_id, slash + 1);
}

/* Sets *dir (owned) if <repo>/snapshots/<rev> holds a config.json, else leaves it NULL. */
static enum dlm_status try_snapshot(struct dlm_ctx *ctx, const char *repo, const char *rev,
                                    char **dir)
{
    char *path = dlm_strf(ctx, "%s/snapshots/%s", repo, rev);
    char *config = path ? dlm_path_join(ctx, path, "config.json") : NULL;
    enum dlm_status st = config ? DLM_OK : DLM_ERR_MEMORY;

    if (!st && dlm_path_is_file(config)) {
        *dir = path;
        path = NULL;
    }
    dlm_free(config);
    dlm_free(path);
    return st;
}

/* One folder's name: a commit, or what a mirror calls it. */
static bool is_folder_name(const char *s)
{
    const size_t len = strlen(s);

    if (!len || len > 255 || !strcmp(s, ".") || !strcmp(s, "..") || strchr(s, '/'))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            return false;
    return true;
}

/* What <repo>/refs/main names, owned; NULL when there is no such file, "" for no folder's name. */
static enum dlm_status read_main_ref(struct dlm_ctx *ctx, const char *repo, char **rev)
{
    struct dlm_str text = {0};
    char *path = dlm_path_join(ctx, repo, "refs/main");
    enum dlm_status st = path ? DLM_OK : DLM_ERR_MEMORY;

    *rev = NULL;
    if (!st && dlm_path_is_file(path)) {
        st = dlm_file_read(ctx, path, 4096, &text);
        while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
            text.len--;
        if (!st)
            *rev = dlm_strndup(ctx, text.len ? text.data : "", text.len);
        if (!st && !*rev)
            st = DLM_ERR_MEMORY;
        if (*rev && (strlen(*rev) != text.len || !is_folder_name(*rev)))
            **rev = '\0';
    }
    dlm_str_finish(&text);
    dlm_free(path);
    return st;
}

/* The only folder in <repo>/snapshots, owned; NULL when there are none or several. */
static enum dlm_status only_snapshot(struct dlm_ctx *ctx, const char *repo, char **rev)
{
    char *folder = dlm_path_join(ctx, repo, "snapshots");
    char **names = NULL;
    enum dlm_status st = folder ? DLM_OK : DLM_ERR_MEMORY;

    *rev = NULL;
    if (!st && dlm_path_is_dir(folder))
        st = dlm_dir_list(ctx, folder, &names);
    if (!st && names && names[0] && !names[1])
        st = set_string(ctx, rev, names[0]);
    dlm_names_free(names);
    dlm_free(folder);
    return st;
}

static enum dlm_status not_cached(struct dlm_ctx *ctx, const struct dlm_base *base,
                                  const char *cache, const char *repo)
{
    enum dlm_status st;

    if (dlm_path_is_dir(repo))
        st = dlm_fail(ctx, DLM_ERR_IO,
                      "cannot find base '%s': no snapshot in '%s' is complete (no config.json), or "
                      "refs/main does not say which", base->key, repo);
    else
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot find base '%s': %s is not in '%s'", base->key,
                      base->hf_id, cache);
    dlm_log(ctx, DLM_LOG_HINT,
            "%s`dlm pull %s` fetches it; HF_HOME names another cache",
            base->gated ? "accept its licence on huggingface.co, then " : "", base->key);
    return st;
}

/* Sets base->dir to the snapshot of the pinned revision, else of the one that the cache's main
 * names (*other, owned), else of the only one; leaves it NULL where there is none. */
static enum dlm_status find_in_hub(struct dlm_ctx *ctx, struct dlm_base *base, const char *repo,
                                   char **other)
{
    enum dlm_status st = DLM_OK;

    *other = NULL;
    if (base->revision)
        st = try_snapshot(ctx, repo, base->revision, &base->dir);
    if (st || base->dir)
        return st;
    st = read_main_ref(ctx, repo, other);
    if (!st && !*other)
        st = only_snapshot(ctx, repo, other);
    if (!st && *other && **other)
        st = try_snapshot(ctx, repo, *other, &base->dir);
    return st;
}

static enum dlm_status resolve_hub(struct dlm_ctx *ctx, struct dlm_base *base)
{
    char *other = NULL;
    char *cache = dlm_hub_cache_dir(ctx);
    char *repo = cache ? dlm_hub_repo_dir(ctx, cache, base->hf_id) : NULL;
    enum dlm_status st = repo ? find_in_hub(ctx, base, repo, &other) : DLM_ERR_MEMORY;

    if (!st && !base->dir)
        st = not_cached(ctx, base, cache, repo);
    if (!st && other && base->revision)
        dlm_log(ctx, DLM_LOG_WARNING,
                "base '%s': the pinned revision %.12s is not in the cache, using %.12s",
                base->key, base->revision, other);
    if (!st && other)
        st = set_string(ctx, &base->revision, other);
    dlm_free(other);
    dlm_free(cache);
    dlm_free(repo);
    return st;
}

/* --- bundled data and dir: --- */

/* Sets *path if <folder>/<name> is there. */
static enum dlm_status try_share(struct dlm_ctx *ctx, const char *folder, const char *name,
                                 char **path)
{
    if (*path || !folder)
        return DLM_OK;
    *path = dlm_path_join(ctx, folder, name);
    if (!*path)
        return DLM_ERR_MEMORY;
    if (!dlm_path_is_dir(*path) && !dlm_path_is_file(*path)) {
        dlm_free(*path);
        *path = NULL;
    }
    return DLM_OK;
}

/* The folder of bundled data that messages name. */
static const char *share_dir(void)
{
    if (env("DLM_SHARE_DIR"))
        return env("DLM_SHARE_DIR");
#ifdef DLM_SHARE_DIR
    return DLM_SHARE_DIR;
#else
    return "share";
#endif
}

/* *path stays NULL where no folder has it. */
static enum dlm_status look_for_share(struct dlm_ctx *ctx, const char *name, char **path)
{
    const char *installed = NULL, *source = NULL;

#ifdef DLM_SHARE_DIR
    installed = DLM_SHARE_DIR;
#endif
#ifdef DLM_SOURCE_SHARE_DIR
    source = DLM_SOURCE_SHARE_DIR;
#endif
    *path = NULL;
    enum dlm_status st = try_share(ctx, env("DLM_SHARE_DIR"), name, path);
    if (!st)
        st = try_share(ctx, installed, name, path);
    return st ? st : try_share(ctx, source, name, path);
}

enum dlm_status dlm_share_find(struct dlm_ctx *ctx, const char *name, char **path)
{
    enum dlm_status st = look_for_share(ctx, name, path);

    if (st || *path)
        return st;
    st = dlm_fail(ctx, DLM_ERR_IO, "cannot find the bundled '%s' in '%s'", name, share_dir());
    dlm_log(ctx, DLM_LOG_HINT, "set DLM_SHARE_DIR to the folder that holds it");
    return st;
}

/* Makes *dir absolute and checks that a checkpoint's config.json is in it. */
static enum dlm_status check_folder(struct dlm_ctx *ctx, const char *key, char **dir)
{
    char *real = realpath(*dir, NULL);

    if (!real || !dlm_path_is_dir(real)) {
        enum dlm_status st = dlm_fail(ctx, DLM_ERR_IO, "cannot find base '%s': '%s': %s", key, *dir,
                                      real ? "not a folder" : strerror(errno));
        free(real);
        return st;
    }
    dlm_free(*dir);
    *dir = dlm_strdup(ctx, real);
    free(real);
    char *config = *dir ? dlm_path_join(ctx, *dir, "config.json") : NULL;
    enum dlm_status st = config ? DLM_OK : DLM_ERR_MEMORY;
    if (!st && !dlm_path_is_file(config))
        st = dlm_fail(ctx, DLM_ERR_IO, "cannot use base '%s': '%s' is missing", key, config);
    dlm_free(config);
    return st;
}

/* A path of the document, below doc_dir (NULL: the working folder) where it is relative; owned. */
static char *local_path(struct dlm_ctx *ctx, const char *path, const char *doc_dir)
{
    char *own = expand_home(ctx, path);

    if (!own || *own == '/' || !doc_dir)
        return own;
    char *joined = dlm_path_join(ctx, doc_dir, own);
    dlm_free(own);
    return joined;
}

static enum dlm_status resolve_dir(struct dlm_ctx *ctx, struct dlm_base *base, const char *doc_dir)
{
    base->dir = local_path(ctx, base->key + strlen("dir:"), doc_dir);
    return base->dir ? DLM_OK : DLM_ERR_MEMORY;
}

static enum dlm_status resolve_gguf(struct dlm_ctx *ctx, struct dlm_base *base,
                                    const char *mmproj, const char *doc_dir)
{
    char *path = local_path(ctx, base->key + strlen("gguf:"), doc_dir);
    char *tower = mmproj ? local_path(ctx, mmproj, doc_dir) : NULL;
    enum dlm_status st = path && !tower == !mmproj ? dlm_gguf_files_find(ctx, base, path, tower)
                                                   : DLM_ERR_MEMORY;

    dlm_free(tower);
    dlm_free(path);
    return st;
}

enum dlm_status dlm_base_check_family(struct dlm_ctx *ctx, const struct dlm_base *base)
{
    static const char suffix[] = "ChatModel";
    const struct dlm_base_row *row = base->row;

    if (!row || row->family || row->modality != DLM_MODALITY_VISION_LANGUAGE)
        return DLM_OK;
    const char *end = strstr(row->architecture, suffix);
    const int len = (int)(end ? (size_t)(end - row->architecture) : strlen(row->architecture));
    dlm_fail(ctx, DLM_ERR_UNSUPPORTED,
             "base '%s' is an %.*s-family VL model: the family does not exist in dlm yet, which "
             "lists the base and writes documents for it, but neither trains nor prompts it",
             base->key, len, row->architecture);
    dlm_log(ctx, DLM_LOG_HINT, "`dlm bases` lists what can be trained");
    return DLM_ERR_UNSUPPORTED;
}

/* Sets base->dir, and base->mmproj of gguf:. */
static enum dlm_status find_files(struct dlm_ctx *ctx, struct dlm_base *base, const char *mmproj,
                                  const char *doc_dir)
{
    enum dlm_status st = dlm_base_check_family(ctx, base);

    if (st)
        return st;
    if (dlm_base_names_gguf(base->key))
        return resolve_gguf(ctx, base, mmproj, doc_dir);
    if (mmproj)
        return dlm_fail(ctx, DLM_ERR_INVALID, "base '%s' has its vision tower with it: mmproj is "
                        "of `gguf:PATH` alone", base->key);
    if (base->hf_id)
        st = resolve_hub(ctx, base);
    else if (base->row)
        st = dlm_share_find(ctx, base->row->key, &base->dir);
    else
        st = resolve_dir(ctx, base, doc_dir);
    return st ? st : check_folder(ctx, base->key, &base->dir);
}

enum dlm_status dlm_base_resolve_files(struct dlm_ctx *ctx, struct dlm_base *base, const char *text,
                                       const char *mmproj, const char *doc_dir)
{
    enum dlm_status st = dlm_base_identify(ctx, base, text);

    if (st)
        return st;
    st = find_files(ctx, base, mmproj, doc_dir);
    if (st)
        dlm_base_finish(base);
    return st;
}

enum dlm_status dlm_base_resolve(struct dlm_ctx *ctx, struct dlm_base *base, const char *text,
                                 const char *doc_dir)
{
    return dlm_base_resolve_files(ctx, base, text, NULL, doc_dir);
}

enum dlm_status dlm_base_locate(struct dlm_ctx *ctx, struct dlm_base *base)
{
    char *other = NULL, *cache = NULL, *repo = NULL;
    enum dlm_status st = DLM_OK;

    if (!base->hf_id)
        return base->row ? look_for_share(ctx, base->row->key, &base->dir) : DLM_OK;
    cache = dlm_hub_cache_dir(ctx);
    repo = cache ? dlm_hub_repo_dir(ctx, cache, base->hf_id) : NULL;
    st = repo ? find_in_hub(ctx, base, repo, &other) : DLM_ERR_MEMORY;
    if (!st && base->dir && other)
        st = set_string(ctx, &base->revision, other);
    dlm_free(other);
    dlm_free(cache);
    dlm_free(repo);
    return st;
}
