/* The hub's address, the user's token, and the hub's refusals in words. */
#include "hub/site.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/log.h"
#include "registry/registry.h"

#define MAX_TOKEN_BYTES 65536

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* text without white space around it, owned; NULL when out of memory. */
static char *trimmed(struct dlm_ctx *ctx, const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    return dlm_strndup(ctx, text, len);
}

/* A token goes into a header's line. */
static bool is_token(const char *text)
{
    for (; *text; text++)
        if (!isgraph((unsigned char)*text))
            return false;
    return true;
}

/* Sets *token from the file of `hf auth login`, if there is one. */
static enum dlm_status read_token_file(struct dlm_ctx *ctx, char **token)
{
    struct dlm_str text = {0};
    enum dlm_status st = DLM_OK;
    char *home = env("HF_TOKEN_PATH") ? NULL : dlm_hub_home_dir(ctx);
    char *path = env("HF_TOKEN_PATH") ? dlm_strdup(ctx, env("HF_TOKEN_PATH"))
                 : home               ? dlm_path_join(ctx, home, "token")
                                      : NULL;

    if (!path)
        st = DLM_ERR_MEMORY;
    else if (dlm_path_is_file(path))
        st = dlm_file_read(ctx, path, MAX_TOKEN_BYTES, &text);
    if (!st && text.len && !(*token = trimmed(ctx, text.data)))
        st = DLM_ERR_MEMORY;
    dlm_str_finish(&text);
    dlm_free(path);
    dlm_free(home);
    return st;
}

static enum dlm_status find_token(struct dlm_ctx *ctx, struct dlm_hub_site *site)
{
    const char *named = env("HF_TOKEN") ? env("HF_TOKEN") : env("HUGGING_FACE_HUB_TOKEN");
    enum dlm_status st = DLM_OK;

    if (!named)
        st = read_token_file(ctx, &site->token);
    else if (!(site->token = trimmed(ctx, named)))
        st = DLM_ERR_MEMORY;
    if (!st && site->token && !*site->token) {
        dlm_free(site->token);
        site->token = NULL;
    }
    if (!st && site->token && !is_token(site->token))
        st = dlm_fail(ctx, DLM_ERR_INVALID, "cannot use the token of %s: it is not one word",
                      named ? "HF_TOKEN" : "`hf auth login`");
    return st;
}

enum dlm_status dlm_hub_site_init(struct dlm_ctx *ctx, struct dlm_hub_site *site)
{
    const char *named = env("HF_ENDPOINT");

    *site = (struct dlm_hub_site){
        .endpoint = trimmed(ctx, named ? named : "https://huggingface.co")};
    if (!site->endpoint)
        return DLM_ERR_MEMORY;
    for (size_t len = strlen(site->endpoint); len && site->endpoint[len - 1] == '/'; len--)
        site->endpoint[len - 1] = '\0';
    if (strncmp(site->endpoint, "https://", 8) && strncmp(site->endpoint, "http://", 7))
        return dlm_fail(ctx, DLM_ERR_INVALID,
                        "cannot use HF_ENDPOINT '%s': not http:// or https://", site->endpoint);
    return find_token(ctx, site);
}

void dlm_hub_site_finish(struct dlm_hub_site *site)
{
    dlm_free(site->endpoint);
    dlm_free(site->token);
    *site = (struct dlm_hub_site){0};
}

bool dlm_hub_is_offline(void)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *said = env("HF_HUB_OFFLINE") ? env("HF_HUB_OFFLINE") : env("TRANSFORMERS_OFFLINE");

    for (size_t i = 0; said && i < DLM_ARRAY_LEN(words); i++)
        if (!strcasecmp(said, words[i]))
            return true;
    return false;
}

/* --- addresses --- */

/* text as one part of an address: all but letters, digits and -._~ as %XX. */
static char *escaped(struct dlm_ctx *ctx, const char *text)
{
    struct dlm_str out = {0};
    enum dlm_status st = dlm_str_appendz(ctx, &out, "");

    for (; !st && *text; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text))
            st = dlm_str_append(ctx, &out, text, 1);
        else
            st = dlm_str_appendf(ctx, &out, "%%%02X", (unsigned)(unsigned char)*text);
    }
    if (st) {
        dlm_str_finish(&out);
        return NULL;
    }
    return out.data;
}

char *dlm_hub_listing_url(struct dlm_ctx *ctx, const struct dlm_hub_site *site, const char *id,
                          const char *revision)
{
    char *part = escaped(ctx, revision);
    char *url = part ? dlm_strf(ctx, "%s/api/models/%s/revision/%s?blobs=true", site->endpoint, id,
                                part)
                     : NULL;

    dlm_free(part);
    return url;
}

char *dlm_hub_file_url(struct dlm_ctx *ctx, const struct dlm_hub_site *site, const char *id,
                       const char *commit, const char *name)
{
    char *part = escaped(ctx, name);
    char *url = part ? dlm_strf(ctx, "%s/%s/resolve/%s/%s", site->endpoint, id, commit, part)
                     : NULL;

    dlm_free(part);
    return url;
}

bool dlm_hub_is_revision(const char *revision)
{
    for (const char *at = revision;; at++) {
        const size_t len = strcspn(at, "/");
        if (!len || len > 200 || (len == 1 && at[0] == '.') || (len == 2 && !strncmp(at, "..", 2)))
            return false;
        for (size_t i = 0; i < len; i++)
            if (!isgraph((unsigned char)at[i]) || strchr("\\?*[~^:", at[i]))
                return false;
        at += len;
        if (!*at)
            return true;
    }
}

/* --- refusals --- */

/* How to be let in: with a token, and the licence accepted. */
static void hint_at_gate(struct dlm_ctx *ctx, const struct dlm_hub_site *site,
                         const struct dlm_hub_refusal *r)
{
    dlm_log(ctx, DLM_LOG_HINT, "accept its licence at %s/%s%s%s%s", site->endpoint, r->id,
            r->license_url ? " (" : "", r->license_url ? r->license_url : "",
            r->license_url ? ")" : "");
    if (site->token)
        dlm_log(ctx, DLM_LOG_HINT,
                "the token in use has to be of the account that accepted it; a fine-grained one "
                "needs access to gated repositories (%s/settings/tokens)",
                site->endpoint);
    else
        dlm_log(ctx, DLM_LOG_HINT,
                "make a token at %s/settings/tokens; HF_TOKEN or `hf auth login` takes it",
                site->endpoint);
}

/* 401 where no gate is known: the hub does not say if the repository is missing or private. */
static void hint_at_access(struct dlm_ctx *ctx, const struct dlm_hub_site *site)
{
    if (site->token)
        dlm_log(ctx, DLM_LOG_HINT, "check the name, and the token of HF_TOKEN or `hf auth login`");
    else
        dlm_log(ctx, DLM_LOG_HINT,
                "check the name; a private repository needs a token (%s/settings/tokens) in "
                "HF_TOKEN, or `hf auth login`",
                site->endpoint);
}

enum dlm_status dlm_hub_refuse(struct dlm_ctx *ctx, const struct dlm_hub_site *site,
                               const struct dlm_hub_refusal *r)
{
    const bool is_gated = !strcmp(r->code, "GatedRepo") || (!*r->code && r->is_gated);

    if (!strcmp(r->code, "RevisionNotFound"))
        return dlm_fail(ctx, DLM_ERR_IO, "cannot fetch '%s': it has no revision '%s'", r->id,
                        r->revision);
    if (r->status == 404)
        return dlm_fail(ctx, DLM_ERR_IO, "cannot fetch '%s': %s has no such repository or file "
                        "(404)", r->id, site->endpoint);
    (void)dlm_fail(ctx, DLM_ERR_IO, "cannot fetch '%s': %s (%ld)", r->id,
                   !is_gated      ? "not found, or not for everyone"
                   : site->token ? "this account has not been granted access"
                                 : "it is only for those who accepted its licence",
                   r->status);
    if (is_gated)
        hint_at_gate(ctx, site, r);
    else
        hint_at_access(ctx, site);
    return DLM_ERR_IO;
}
