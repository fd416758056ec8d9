/* What a section is called: the names of types and adapters, and its id. */
#include <string.h>

#include "base/sha256.h"
#include "doc/doc_impl.h"

static const char *const type_names[DLM_DOC_SECTION_TYPE_COUNT] = {
    [DLM_DOC_SECTION_PROSE] = "prose",           [DLM_DOC_SECTION_INSTRUCTION] = "instruction",
    [DLM_DOC_SECTION_PREFERENCE] = "preference", [DLM_DOC_SECTION_IMAGE] = "image",
    [DLM_DOC_SECTION_AUDIO] = "audio",
};

const char *dlm_doc_section_type_name(enum dlm_doc_section_type type)
{
    return type_names[type];
}

bool dlm_doc_find_section_type(const char *name, size_t len, enum dlm_doc_section_type *type)
{
    for (int i = 0; i < DLM_DOC_SECTION_TYPE_COUNT; i++) {
        if (strlen(type_names[i]) == len && !memcmp(type_names[i], name, len)) {
            *type = (enum dlm_doc_section_type)i;
            return true;
        }
    }
    return false;
}

void dlm_doc_section_id(const struct dlm_doc_section *section, const char *blob_sha, char id[17])
{
    struct dlm_sha256 sha;
    uint8_t digest[32];
    char hex[65];
    const char *name = type_names[section->type];

    dlm_sha256_init(&sha);
    dlm_sha256_update(&sha, name, strlen(name));
    dlm_sha256_update(&sha, "\n", 1);
    if (section->type == DLM_DOC_SECTION_IMAGE || section->type == DLM_DOC_SECTION_AUDIO) {
        if (section->media_path)
            dlm_sha256_update(&sha, section->media_path, strlen(section->media_path));
        if (blob_sha) {
            dlm_sha256_update(&sha, "\n", 1);
            dlm_sha256_update(&sha, blob_sha, strlen(blob_sha));
        }
    } else if (section->content_len) {
        /* A byte order mark at the head of the content does not count. */
        bool has_bom =
            section->content_len >= 3 && !memcmp(section->content, "\xef\xbb\xbf", 3);
        size_t skip = has_bom ? 3 : 0;
        dlm_sha256_update(&sha, section->content + skip, section->content_len - skip);
    }
    dlm_sha256_finish(&sha, digest);
    dlm_sha256_hex(digest, hex);
    memcpy(id, hex, 16);
    id[16] = '\0';
}

bool dlm_doc_is_adapter_name(const char *name, size_t len)
{
    if (len < 1 || len > 32 || name[0] < 'a' || name[0] > 'z')
        return false;
    for (size_t i = 1; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}
